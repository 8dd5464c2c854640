"""Where outcomes are kept: a study's folder, and the few files that a whole study is packed into.

A study is a folder with a folder for each picture or mesh, in which every run file has its outcome beside it:
`goldfish/mpe-fine.h5` and `goldfish/mpe-fine.json`. `load` reads the outcomes and computes those that are
missing from their run files; `pack` puts a whole study into a few JSON files, which `load` reads as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from analysed import outcome
from outcomes import Outcome, check_alike, from_dict

from ntkspec.errors import UsageError

VERSION = 3  # of what is kept; raise it where the analysis changes, and all is analysed anew


def load(place: Path) -> list[Outcome]:
    """All outcomes of a study's folder, or of the folder that `pack` wrote, by item and name.

    Raises:
        UsageError: there is nothing to load, runs of one name are of different settings, or an outcome is of
            an older version and its run file gone.
    """
    runs = set(place.glob("*/*.h5"))
    found = [of_file(path) for path in sorted(runs)]
    gone = {path.with_suffix(".h5") for path in place.glob("*/*.json")} - runs
    for path in sorted(gone):
        kept = _kept(path)
        found += [kept] if kept else []
        if not kept and _was_ours(path.with_suffix(".json")):
            raise UsageError(
                str(path.with_suffix(".json")),
                expected=f"an outcome of version {VERSION}, or its run file to analyse again",
                got="neither",
                remedy="delete it and let the study make it again",
            )
    found = found or [each for path in sorted(place.glob("*.json")) for each in _unpack(path)]
    if not found:
        raise no_runs(place)
    check_alike(found)
    return sorted(found, key=lambda each: (each.item, each.name))


def no_runs(place: Path) -> UsageError:
    """What to say of a study without run files."""
    return UsageError(
        str(place),
        expected="a folder of folders of run files",
        got="none in it",
        remedy="make them first, see analysis/paper/README.md",
    )


def pack(outcomes: Iterable[Outcome], place: Path, by: Callable[[Outcome], str] = attrgetter("name")) -> None:
    """One file for all outcomes of which `by` says the same, called that; what made them stands there once.

    Files that were packed there before and are none of these are removed: `load` would read them as well.
    """
    files: dict[str, list[Outcome]] = {}
    for each in outcomes:
        files.setdefault(by(each), []).append(each)
    for name, group in files.items():
        made: list[Mapping[str, Any]] = []
        for each in group:
            if each.made not in made:
                made.append(each.made)
        packed = [{**asdict(each), "made": made.index(each.made)} for each in group]
        write_json(place / f"{name}.json", {"version": VERSION, "made": made, "outcomes": packed})
    for path in place.glob("*.json"):
        if path.stem not in files and _is_pack(path):
            path.unlink()


def _is_pack(path: Path) -> bool:
    try:
        return _has(path, "made", "outcomes")
    except ValueError:
        return False


def _was_ours(path: Path) -> bool:
    """Whether this is an outcome of another version, or nothing that can be read."""
    try:
        return _has(path, "outcome") and read_json(path)["version"] != VERSION
    except ValueError:
        return True


def _has(path: Path, *keys: str) -> bool:
    """Whether this is a file of ours, of whatever version, with these contents; ValueError if not JSON."""
    content = read_json(path)
    return isinstance(content, dict) and set(content) == {"version", *keys}


def of_file(run_file: Path) -> Outcome:
    """The outcome beside a run file, computed first where there is none of this version, or an older one.

    A run file may be deleted once it has an outcome.
    """
    kept = _kept(run_file)
    if kept is not None:
        return kept
    found = outcome(run_file)
    write_json(run_file.with_suffix(".json"), {"version": VERSION, "outcome": asdict(found)})
    return found


def has_outcome(run_file: Path) -> bool:
    """Whether the outcome of a run is kept: of this version, and newer than the run file if that is there."""
    return _kept(run_file) is not None


def _kept(run_file: Path) -> Outcome | None:
    """None also for a file that is damaged, or of another run: then the run file is analysed anew."""
    place = run_file.with_suffix(".json")
    if not place.exists() or (run_file.exists() and place.stat().st_mtime < run_file.stat().st_mtime):
        return None
    try:
        content = read_json(place)
        found = from_dict(content["outcome"]) if content["version"] == VERSION else None
    except (ValueError, LookupError, TypeError, AttributeError):  # all that JSON of another shape can raise
        return None
    return found if found and (found.item, found.name) == (place.parent.name, place.stem) else None


def _unpack(path: Path) -> list[Outcome]:
    try:
        content = read_json(path)
        if content["version"] == VERSION:
            return _packed(content)
        got = f"version {content['version']}"
    except (ValueError, LookupError, TypeError, AttributeError):  # all that JSON of another shape can raise
        got = "something else"
    raise UsageError(
        str(path),
        expected=f"packed outcomes of version {VERSION}",
        got=got,
        remedy="pack them again from their run files, with analysis/paper/page.py",
    )


def _packed(content: Mapping[str, Any]) -> list[Outcome]:
    return [from_dict({**each, "made": content["made"][each["made"]]}) for each in content["outcomes"]]


def write_json(path: Path, content: Any) -> None:
    """Under a temporary name until it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise UsageError(
            str(path), expected="a file to write", got=error.strerror or str(error), remedy="choose another"
        ) from error


def read_json(path: Path) -> Any:
    """What `write_json` wrote."""
    return json.loads(path.read_text(encoding="utf-8"))
