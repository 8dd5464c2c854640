"""Say what runs learnt, whether it is the same, by pictures or configs, and how well they learnt it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from ntkspec.qualities import IOU, IOU_UNIFORM, PSNR, PSNR_HELD_OUT, QUALITIES, quality_of, show, values_of
from ntkspec.report.names import clean
from ntkspec.report.records import RunReport
from ntkspec.report.style import StyledRun

_VIEW, _SIZE = ("up", "azimuth"), ("side", "grey")  # entries of a task: how a mesh is drawn, a picture read
_PIXELS = ("held_out", "side")  # which give the pixels that our trainer holds out
_PSNRS = {PSNR.name, PSNR_HELD_OUT.name}


def data_name(run: RunReport) -> str:
    """Return the name of the picture's or mesh's file that the trainer's config names, else ""."""
    path = _task(run).get("image") or _task(run).get("mesh")
    return clean(re.split(r"[/\\]", path)[-1], 60) if isinstance(path, str) else ""


def noun(runs: Sequence[RunReport], metric: str) -> str:
    """Return a noun for what runs learnt: "shape", "picture" or "target".

    Args:
        runs: all of which have the metric.
        metric: its name.
    """
    if metric in (IOU.name, IOU_UNIFORM.name):
        return "shape"
    kinds = [_task(run).get("kind", "image" if run.truth is not None else "") for run in runs]
    return "picture" if set(kinds) == {"image"} else "target"


def one_target(runs: Sequence[RunReport]) -> bool:
    """Return whether all runs learnt the same target, judged by the pictures in the files, else by names.

    Targets of different numbers of outputs are different ones.
    """
    if len({run.outputs for run in runs}) > 1:
        return False
    truths = [run.truth for run in runs if run.truth is not None]
    if len({_entries(run, _VIEW) for run in runs}) > 1:
        truths = []  # one mesh, seen from two sides, is two pictures
    same = all(np.array_equal(truth, truths[0]) for truth in truths)
    if len(truths) == len(runs):
        return same
    return same and len({(name, _entries(run, _SIZE)) for run in runs if (name := data_name(run))}) < 2


def held_out_differ(runs: Sequence[RunReport]) -> bool:
    """Return whether two runs are known to have held out different pixels, whose PSNRs do not compare."""
    judged = [run for run in runs if run.end and PSNR_HELD_OUT.name in values_of(run.end.metrics)]
    return len({held_out_pixels(run) for run in judged} - {None}) > 1


def held_out_pixels(run: RunReport) -> tuple[str, ...] | None:
    """Return the share of the pixels that a run held out, and the picture's side; None: not known."""
    return _entries(run, _PIXELS) if _task(run).get("held_out") is not None else None


def _entries(run: RunReport, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(_task(run).get(name)) for name in names)


def _task(run: RunReport) -> Mapping[str, object]:
    """Return the trainer's config of the target; an empty mapping if the file has none."""
    task = run.config.get("task")
    return task if isinstance(task, Mapping) else {}


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
