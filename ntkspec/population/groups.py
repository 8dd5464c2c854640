"""Results of a population's runs by name and by item, and whether they may stand beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar

from ntkspec.errors import UsageError

OF_SOURCES = ("image", "mesh", "up", "azimuth")  # in a run's task


class Result(Protocol):
    """What is kept of a run, such as its outcome."""

    @property
    def item(self) -> str:
        """The picture or mesh."""

    @property
    def name(self) -> str:
        """The run file's."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The settings that the run was made with."""


AnyResult = TypeVar("AnyResult", bound=Result)


def by_name(outcomes: Iterable[AnyResult]) -> dict[str, list[AnyResult]]:
    """Return the outcomes of each name, in their order."""
    groups: dict[str, list[AnyResult]] = {}
    for each in outcomes:
        groups.setdefault(each.name, []).append(each)
    return groups


def by_item(outcomes: Iterable[AnyResult]) -> dict[str, dict[str, AnyResult]]:
    """Return the outcomes of each item by their names."""
    items: dict[str, dict[str, AnyResult]] = {}
    for each in outcomes:
        items.setdefault(each.item, {})[each.name] = each
    return items


def require(outcomes: Iterable[Result], names: Iterable[str]) -> None:
    """Refuse a study in which some picture or mesh lacks a run that is asked for.

    Raises:
        UsageError: it does.
    """
    asked = set(names)
    for item, there in sorted(by_item(outcomes).items()):
        missing = sorted(asked - there.keys())
        if missing:
            raise UsageError(
                item,
                expected=f"a run {missing[0]}",
                got=f"{', '.join(sorted(there)[:4])}{', ...' if len(there) > 4 else ''}",
                remedy="let the study go on to its end, or name the study that has it",
            )


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what runs of one name share in a study: all but source, view, label, seed, and what made them.

    A picture that is there keeps the seed that it was trained with, whoever comes to stand beside it.
    """
    task = {key: value for key, value in config.get("task", {}).items() if key not in OF_SOURCES}
    apart = ("label", "seed", "device", "trained_by", "sha256")
    return {key: value for key, value in config.items() if key not in apart} | {"task": task}


def check_alike(outcomes: Iterable[Result]) -> None:
    """Refuse runs of one name that were made differently, and a run that is there twice.

    Raises:
        UsageError: there are such.
    """
    outcomes = list(outcomes)
    often, count = Counter(f"{each.item}, {each.name}" for each in outcomes).most_common(1)[0]
    if count > 1:
        raise UsageError(
            often, expected="one run of this name", got="several", remedy="delete what is a copy"
        )
    first: dict[str, Result] = {}
    for each in outcomes:
        other = first.setdefault(each.name, each)
        if settings_of(each.config) != settings_of(other.config):
            raise UsageError(
                f"{each.item}, {each.name}",
                expected=f"the settings of {other.item}",
                got="others",
                remedy="keep runs of different settings in different folders",
            )
