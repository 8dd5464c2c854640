"""Say what runs learnt, and whether it is the same: by the pictures in their files, else by their configs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from ntkspec.qualities import IOU, IOU_UNIFORM, PSNR_HELD_OUT, values_of
from ntkspec.report.names import clean
from ntkspec.report.records import RunReport

_VIEW, _SIZE = ("up", "azimuth"), ("side", "grey")  # entries of a task: how a mesh is drawn, a picture read
_PIXELS = ("held_out", "side")  # which give the pixels that our trainer holds out


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
    """Return whether all runs learnt the same target, judged by the pictures in the files, else by names."""
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
