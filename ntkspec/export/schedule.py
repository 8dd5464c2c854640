"""Decide at which training steps a snapshot is due."""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ntkspec.arguments.counts import whole_number
from ntkspec.errors import UsageError, shown

Every = int | Iterable[int]


@dataclass(frozen=True)
class Schedule:
    """The steps at which snapshots are due: multiples of a number, or steps that are listed.

    A step that is skipped is made up for at the next one: training loops may count in jumps.

    Example:
        >>> tens, listed = Schedule.of(10), Schedule.of([1, 10, 100])
        >>> [step for step in range(0, 120, 6) if tens.due(step, last=step - 6)]
        [0, 12, 24, 30, 42, 54, 60, 72, 84, 90, 102, 114]
        >>> [step for step in range(0, 120, 6) if listed.due(step, last=step - 6)]
        [6, 12, 102]
    """

    every: int | tuple[int, ...]  # a number of steps, or the steps in ascending order

    @staticmethod
    def of(every: Every) -> Schedule:
        """Make a schedule of what a caller gave.

        Raises:
            UsageError: it is neither a number of steps, 1 or more, nor one or more steps, each 0 or more.
        """
        if (
            isinstance(every, Iterable)
            and not isinstance(every, str | bytes)
            and getattr(every, "ndim", 1) != 0  # an array of one number
        ):
            got = "a list without any"
            steps = tuple(sorted({whole_number(step, "a step of every", 0) for step in every}))
            if steps:
                return Schedule(steps)
        else:
            got = shown(every)
            with contextlib.suppress(UsageError):
                return Schedule(whole_number(every, "every", 1))
        raise UsageError(
            "every",
            expected="a number of steps, 1 or more, or the steps themselves",
            got=got,
            remedy="e.g. 100, or [0, 1, 10, 100, 1000]",
        )

    def due(self, step: int, last: int) -> bool:
        """Return whether a step later than `last`, but not than `step`, is one of the schedule's."""
        return self._until(step) > self._until(last)

    def count(self, first: int) -> int | None:
        """Return how many snapshots there will be, one at the step `first` included; None: not known."""
        if isinstance(self.every, int):
            return None
        return 1 + len(self.every) - self._until(first)

    def _until(self, step: int) -> int:
        """Count the schedule's steps that are not later than `step`."""
        return step // self.every if isinstance(self.every, int) else bisect_right(self.every, step)
