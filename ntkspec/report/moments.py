"""Choose how figures distinguish the snapshots of a run: by stage of training or by step.

Three snapshots are start, middle and end, and have a line style each. Where some run has more, every snapshot
has a colour by its place in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ntkspec.report.names import named_snapshots
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.style import Stage, StyledRun, mixed, on_ramp, stages

# Of matplotlib's viridis, light to dark, so that the end of training stands out on white.
_STEPS = ("#a0da39", "#4ac16d", "#1fa187", "#277f8e", "#365c8d", "#46327e", "#440154")
_ON_DARK = ("#fde725", *_STEPS[:4])  # the violets cannot be seen there
_PALEST = 0.78  # share of white in the first snapshot's colour where a run has one hue


@dataclass(frozen=True)
class Moment:
    """A snapshot, with the values that determine how its curves are drawn."""

    snapshot: SnapshotReport
    name: str
    place: int  # among the run's snapshots, from 0
    of: int  # snapshots of the run
    stage: Stage | None  # None: by step

    @property
    def colour(self) -> str:
        """Return a colour for the snapshot's place in training, for plots of a single run."""
        return step_colour(self.place, self.of)

    @property
    def dark(self) -> str:
        """Return the colour for a dark background; the end of training stands out there, too."""
        return on_ramp(_ON_DARK, self.of - 1 - self.place, self.of)

    def shade(self, colour: str, paper: str = "#ffffff") -> str:
        """Return the run's colour, paler for earlier snapshots, for plots of several runs."""
        left = 1 - self.place / (self.of - 1) if self.of > 1 else 0.0
        return mixed(colour, paper, _PALEST * left)


def by_step(report: Report) -> bool:
    """Return whether some run has more than three snapshots, so that all are coloured by step."""
    return any(len(stages(run)) < len(run.snapshots) for run in report.runs)


def moments(run: RunReport, *, stepwise: bool, limit: int = 40) -> tuple[Moment, ...]:
    """Return every snapshot of a run, in order of step.

    Args:
        stepwise: the value of `by_step` for the whole report.
        limit: most characters of a name.
    """
    stage_of = {id(snapshot): stage for stage, snapshot in stages(run).items()}
    count = len(run.snapshots)
    return tuple(
        Moment(snap, name, i, count, None if stepwise else stage_of[id(snap)])
        for i, (name, snap) in enumerate(named_snapshots(run, limit))
    )


def step_colour(place: int, count: int) -> str:
    """Return the colour of a place in training, as #rrggbb."""
    return on_ramp(_STEPS, place, count)


def same_steps(runs: Sequence[StyledRun]) -> tuple[int, ...] | None:
    """Return the steps of the snapshots if they are the same in all runs, else None."""
    steps = {tuple(snap.step for snap in run.run.snapshots) for run in runs}
    return steps.pop() if len(steps) == 1 else None
