"""Find a snapshot by its id, label or step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ntkspec.errors import not_one_of


class Labelled(Protocol):
    """What an open snapshot and the report of one have in common."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def step(self) -> int: ...


S = TypeVar("S", bound=Labelled)


def by_key(snapshots: Sequence[S], key: str | int, where: str) -> S:
    """Return the snapshot with this id, else the last one with this label or step.

    Args:
        snapshots: at least one, in order of step.
        key: an id, a label or a step; -1 for the last snapshot of all.
        where: what the snapshots belong to, for the message.

    Raises:
        UsageError: there is none.
    """
    if key == -1:
        return snapshots[-1]
    matches = [snap for snap in snapshots if key == snap.id]
    matches = matches or [snap for snap in snapshots if key in (snap.label, snap.step)]
    if not matches:
        names = (f"{snap.id} (label {snap.label!r}, step {snap.step})" for snap in snapshots)
        raise not_one_of(f"{where}: snapshot", key, names)
    return matches[-1]
