"""Group the results of a population by run name and by item, and check that they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

from ntkspec.errors import UsageError
from ntkspec.report.grouping import grouped

Config: TypeAlias = Mapping[str, Any]  # of a run, as its file holds it
OF_SOURCES = ("image", "mesh", "up", "azimuth")  # entries of a run's task that tell its source and view


class Result(Protocol):
    """What is stored of a run, such as its `Outcome`."""

    @property
    def item(self) -> str:
        """Return the name of the picture or mesh."""

    @property
    def name(self) -> str:
        """Return the name of the run file."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the settings with which the run was made."""


AnyResult = TypeVar("AnyResult", bound=Result)


def is_of(result: Result, run_file: Path) -> bool:
    """Return whether a result says that it is of this run file, by item and name."""
    return (result.item, result.name) == (run_file.parent.name, run_file.stem)


def by_name(outcomes: Iterable[AnyResult]) -> dict[str, list[AnyResult]]:
    """Return a dict from each run name to its outcomes, in their order."""
    return grouped((outcome.name, outcome) for outcome in outcomes)


def by_item(outcomes: Iterable[AnyResult]) -> dict[str, dict[str, AnyResult]]:
    """Return a dict from each item to a dict from run name to outcome."""
    items: dict[str, dict[str, AnyResult]] = {}
    for outcome in outcomes:
        items.setdefault(outcome.item, {})[outcome.name] = outcome
    return items


def require(outcomes: Iterable[Result], names: Iterable[str]) -> None:
    """Require that every picture or mesh has a run of each of these names.

    Raises:
        UsageError: a picture or mesh lacks a run.
    """
    wanted = set(names)
    for item, runs in sorted(by_item(outcomes).items()):
        missing = sorted(wanted - runs.keys())
        if missing:
            raise UsageError(
                item,
                expected=f"a run {missing[0]}",
                got=f"{', '.join(sorted(runs)[:4])}{', ...' if len(runs) > 4 else ''}",
                remedy="let the study go on to its end, or name the study that has it",
            )


def settings_of(config: Config) -> Config:
    """Return the part of a config that all runs of one name share in a study.

    The keys source, view, label and seed are left out, and so is what made the run. The seed may differ,
    since a picture keeps its seed when others are added to the study.
    """
    task = {key: value for key, value in config.get("task", {}).items() if key not in OF_SOURCES}
    apart = ("label", "seed", "family", "device", "trained_by", "sha256")
    return {key: value for key, value in config.items() if key not in apart} | {"task": task}


def check_alike(outcomes: Iterable[Result]) -> None:
    """Require that runs of one name have the same settings, and that no run occurs twice.

    Raises:
        UsageError: settings differ, or a run occurs twice.
    """
    outcomes = list(outcomes)
    often, count = Counter(f"{outcome.item}, {outcome.name}" for outcome in outcomes).most_common(1)[0]
    if count > 1:
        raise UsageError(
            often, expected="one run of this name", got="several", remedy="delete what is a copy"
        )
    first: dict[str, Result] = {}
    for outcome in outcomes:
        other = first.setdefault(outcome.name, outcome)
        if settings_of(outcome.config) != settings_of(other.config):
            raise UsageError(
                f"{outcome.item}, {outcome.name}",
                expected=f"the settings of {other.item}",
                got="others",
                remedy="keep runs of different settings in different folders",
            )
