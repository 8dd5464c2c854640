"""Rank runs by the metric that they reached at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ntkspec.qualities import PSNR, PSNR_HELD_OUT, QUALITIES, quality_of, show, values_of
from ntkspec.report.records import RunReport
from ntkspec.report.style import StyledRun
from ntkspec.report.targets import held_out_differ

_PSNRS = {PSNR.name, PSNR_HELD_OUT.name}


@dataclass(frozen=True)
class Scores:
    """The metric that each run reached at the end, the best first."""

    metric: str  # of `ntkspec.qualities`
    values: tuple[tuple[Decimal, StyledRun], ...]  # as shown

    @property
    def title(self) -> str:
        """Return the name of the metric as text."""
        return (PSNR if self.metric == PSNR_HELD_OUT.name else quality_of(self.metric)).title

    @property
    def runs(self) -> tuple[RunReport, ...]:
        """Return the runs that have the metric."""
        return tuple(run.run for _, run in self.values)

    @property
    def best(self) -> tuple[StyledRun, ...]:
        """Return all runs that share the best value, as it is rounded for display."""
        return tuple(run for value, run in self.values if value == self.values[0][0])

    def of(self, run: StyledRun) -> Decimal | None:
        """Return the value that a run reached, or None if it is not known."""
        return next((value for value, other in self.values if other.index == run.index), None)

    def said(self, value: Decimal) -> str:
        """Return a value, or a difference of two values, as text in the metric's unit and digits."""
        return quality_of(self.metric).show(float(value))


def scores_of(runs: Sequence[StyledRun]) -> Scores | None:
    """Return each run's PSNR at the end or, if no run has one, the IoU; return None if no run has either.

    If all runs with a PSNR held out pixels, the same ones as far as is known, it is the PSNR on these.
    """
    ends = [(run.end.metrics, run) for run in runs if run.end]
    judged = [values for metrics, _ in ends if not _PSNRS.isdisjoint(values := values_of(metrics))]
    apart = all(PSNR_HELD_OUT.name in values for values in judged)
    comparable = apart and not held_out_differ([run.run for run in runs])
    held_out = [PSNR_HELD_OUT.name] if comparable else []
    for name in (*held_out, *(quality.name for quality in QUALITIES.values() if quality.ranks)):
        shown = [(show(metrics, name), run) for metrics, run in ends]
        known = [(Decimal(text.split()[0]), run) for text, run in shown if text != "-"]
        if known:
            return Scores(name, tuple(sorted(known, key=lambda pair: -pair[0])))
    return None
