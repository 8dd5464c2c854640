"""A whole population: the outcomes of a folder, and the few files that they are packed into.

`load` reads the outcomes beside the run files and makes those that are missing; `pack` puts all of them into
a few JSON files, which `load` reads as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.population.analysed import outcome
from ntkspec.population.groups import check_alike
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.kept import Kept, has_members
from ntkspec.population.outcomes import Outcome, from_dict

VERSION = 3  # of what is kept; raise it where the analysis changes, and all is analysed anew

OUTCOMES = Kept(
    name="outcome",
    said="an outcome",
    version=VERSION,
    make=outcome,
    to_tree=asdict,
    from_tree=from_dict,
    belongs=lambda found, path: (found.item, found.name) == (path.parent.name, path.stem),
)


def load(place: Path) -> list[Outcome]:
    """Return all outcomes of a population's folder, or of the folder that `pack` wrote, by item and name.

    Raises:
        UsageError: there is nothing to load, runs of one name are of different settings, or an outcome is of
            an older version and its run file gone.
    """
    found = OUTCOMES.all_in(place)
    found = found or [each for path in sorted(place.glob("*.json")) for each in _unpack(path)]
    if not found:
        raise no_runs(place)
    check_alike(found)
    return sorted(found, key=lambda each: (each.item, each.name))


def no_runs(place: Path) -> UsageError:
    """Return what to say of a population without run files."""
    return UsageError(
        str(place),
        expected="a folder of folders of run files",
        got="none in it",
        remedy="make them first, or name another folder",
    )


def pack(outcomes: Iterable[Outcome], place: Path, by: Callable[[Outcome], str] = attrgetter("name")) -> None:
    """Write one file for all outcomes of which `by` says the same; what made them stands there once.

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
        return has_members(read_json(path), "made", "outcomes")
    except ValueError:
        return False


def _unpack(path: Path) -> list[Outcome]:
    try:
        content = read_json(path)
        if content["version"] == VERSION:
            return _packed(content)
        got = f"version {content['version']}"
    except OTHER_SHAPE:
        got = "something else"
    raise UsageError(
        str(path),
        expected=f"packed outcomes of version {VERSION}",
        got=got,
        remedy="pack them again from their run files",
    )


def _packed(content: Mapping[str, Any]) -> list[Outcome]:
    return [from_dict({**each, "made": content["made"][each["made"]]}) for each in content["outcomes"]]
