"""Group the results of a population by run name and by item, and check that they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeVar

from ntkspec.errors import UsageError
from ntkspec.population.jobs import settings_of
from ntkspec.population.kept import Result
from ntkspec.report.grouping import grouped

AnyResult = TypeVar("AnyResult", bound=Result)


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
