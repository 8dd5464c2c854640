"""Find a snapshot by its label, id or step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from ntkspec.arguments.counts import as_index
from ntkspec.display import listed
from ntkspec.errors import UsageError, shown


class Labelled(Protocol):
    """What an open snapshot and the report of one have in common."""

    @property
    def id(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def step(self) -> int: ...


S = TypeVar("S", bound=Labelled)
_DIGITS = 20  # of a step, which run files hold in 64 bits


def by_key(snapshots: Sequence[S], key: str | int, where: str) -> S:
    """Return the last snapshot with this label, else the one with this id, else the last one of this step.

    Args:
        snapshots: in order of step.
        key: a label, an id, or a step as a number or in digits; -1 for the last snapshot of
            all, -2 for the one before it.
        where: what the snapshots belong to, for the message.

    Raises:
        UsageError: there is none.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/foreign.h5") as run:
        ...     [by_key(run.snapshots, key, "run").id for key in ("end", "0007", 7, "7", -1)]
        ['0007', '0007', '0007', '0007', '0007']
    """
    step = _step(key)
    if step is not None and -len(snapshots) <= step < 0:
        return snapshots[step]
    for matches in (
        [snap for snap in snapshots if isinstance(key, str) and snap.label == key],
        [snap for snap in snapshots if isinstance(key, str) and snap.id == key],
        [snap for snap in snapshots if snap.step == step],
    ):
        if matches:
            return matches[-1]
    names = [f"{snap.id} (label {snap.label!r}, step {snap.step})" for snap in snapshots]
    raise UsageError(f"{where}: snapshot", expected=f"one of {listed(names)}", got=shown(key))


def _step(key: Any) -> int | None:
    """Return a key as a step, or None if it is no whole number."""
    if isinstance(key, str):
        return int(key) if key.isascii() and key.isdigit() and len(key) < _DIGITS else None
    return as_index(key)
