"""Load the outcomes of a whole population, and pack them into a few files.

`load` reads the outcomes beside the run files and makes those that are missing; `pack` puts all of them into
a few JSON files, which `load` reads as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

from analysis.paper.groups import check_alike
from ntkspec.errors import UsageError
from ntkspec.population.json_files import OTHER_SHAPE, read_json, write_json
from ntkspec.population.kept import has_members
from ntkspec.population.outcomes import OUTCOMES, VERSION, Outcome, from_dict
from ntkspec.report.grouping import grouped


def load(place: Path) -> list[Outcome]:
    """Return all outcomes of a population's folder, or of the folder that `pack` wrote, by item and name.

    Raises:
        UsageError: there is nothing to load, runs of one name are of different settings, or an outcome is of
            an older version and its run file gone.
    """
    outcomes = OUTCOMES.all_in(place)
    outcomes = outcomes or [packed for path in sorted(place.glob("*.json")) for packed in _unpack(path)]
    if not outcomes:
        raise no_runs(place)
    check_alike(outcomes)
    return sorted(outcomes, key=lambda outcome: (outcome.item, outcome.name))


def no_runs(place: Path) -> UsageError:
    """Return the error to raise for a population without run files."""
    return UsageError(
        str(place),
        expected="a folder of folders of run files",
        got="none in it",
        remedy="make them first, or name another folder",
    )


def pack(outcomes: Iterable[Outcome], place: Path, by: Callable[[Outcome], str] = attrgetter("name")) -> None:
    """Write a JSON file for each group of outcomes; it states once what made them (machine, commit, ...).

    Other files that were packed in the folder before are removed, since `load` would read them as well.

    Args:
        outcomes: what to pack.
        place: the folder.
        by: returns the name of an outcome's group, and so of its file.
    """
    files = grouped((by(result), result) for result in outcomes)
    for name, group in files.items():
        made: list[Mapping[str, Any]] = []
        for result in group:
            if result.made not in made:
                made.append(result.made)
        packed = [{**asdict(result), "made": made.index(result.made)} for result in group]
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
    """Read a file that `pack` wrote; raise `UsageError` if it is another file, or of another version."""
    try:
        content = read_json(path)
        if content["version"] == VERSION:
            made = content["made"]
            return [from_dict({**packed, "made": made[packed["made"]]}) for packed in content["outcomes"]]
        got = f"version {content['version']}"
    except OTHER_SHAPE:
        got = "something else"
    raise UsageError(
        str(path),
        expected=f"packed outcomes of version {VERSION}",
        got=got,
        remedy="pack them again from their run files",
    )
