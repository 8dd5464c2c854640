"""What the page's interactive plots draw, as JSON: spectra of all snapshots, and their course in training."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Any

from ntkspec.report import words
from ntkspec.report.moments import Moment, by_step, few, moments
from ntkspec.report.names import kernel_names
from ntkspec.report.records import Report
from ntkspec.report.style import STAGES, Stage, StyledRun, last_name, styled_runs
from ntkspec.report.thinning import thinned
from ntkspec.report.through_training import (
    StepAxis,
    Value,
    has_training,
    history,
    kernels_of,
    steps_of,
)
from ntkspec.report.to_json import plain
from ntkspec.spectral.eigenvalues import Spectrum

_POINTS = 300  # of a curve
_ALL_POINTS = 40_000  # of all curves: beyond, each has fewer, lest the page grows with every snapshot
_FEWEST = 60
_MANY = 1.4  # width of a curve that is one of many
_DASHES: dict[Stage, str] = {"init": "dot", "mid": "dash", "end": "solid"}
_WIDTHS: dict[Stage, float] = {"init": 1.0, "mid": 1.6, "end": 2.2}


def plot_data(report: Report) -> dict[str, Any]:
    """Return what both plots draw: of spectra the resolved eigenvalues only, thinned on a log axis.

    Kernels that are exactly zero have no curve. plotly reads a little HTML in names: they come escaped, so
    that they are shown as they are written.
    """
    stepwise, kernels = by_step(report), kernel_names(report.runs, 40)
    runs = [(styled, moments(styled.run, stepwise=stepwise)) for styled in styled_runs(report)]
    drawn = sum(len(moment.snapshot.spectra) for _, found in runs for moment in found)
    points = max(_FEWEST, min(_POINTS, _ALL_POINTS // max(drawn, 1)))
    alone = len(runs) == 1
    return {
        "last": html.escape(last_name(report)),
        "stepwise": stepwise,
        "points": points,
        "groups": _groups(report, [found for _, found in runs], alone=alone),
        "runs": [
            {
                "name": html.escape(styled.name),
                "colour": styled.colour,
                "curves": [
                    _curve(styled, moment, kernels[kernel], spectrum, points, alone=alone)
                    for moment in found
                    for kernel, spectrum in moment.snapshot.spectra.items()
                    if not words.is_zero(spectrum)
                ],
            }
            for styled, found in runs
        ],
        "training": _training(report) if has_training(report) else None,
    }


def _groups(report: Report, found: list[tuple[Moment, ...]], *, alone: bool) -> list[dict[str, Any]]:
    """What can be shown and hidden together: a stage of training, or the snapshots of one step and name.

    At first all are shown, but for the start of training among three stages, and of several runs with many
    snapshots each all but the first, the middle and the last.
    """
    present = [moment for of_run in found for moment in of_run]
    if not by_step(report):
        names = {"init": "start", "mid": "mid", "end": last_name(report)}
        stages = [stage for stage in STAGES if any(moment.stage == stage for moment in present)]
        return [
            {
                "key": stage,
                "name": names[stage],
                "colour": "currentColor",
                "dash": _DASHES[stage],
                "width": _WIDTHS[stage],
                "shown": stage != "init" or len(stages) == 1,
            }
            for stage in stages
        ]
    shown = {_key(of_run[i]) for of_run in found for i in few(len(of_run), 3)}
    first = {_key(moment): moment for moment in reversed(present)}
    return [
        {
            "key": key,
            "name": _said(moment),
            "colour": moment.colour if alone else moment.shade("#1d1d1f"),
            "dash": "solid",
            "width": 3.0,
            "shown": alone or key in shown,
        }
        for key, moment in sorted(first.items(), key=lambda item: (item[1].snapshot.step, item[1].place))
    ]


def _key(moment: Moment) -> str:
    return moment.stage or f"{moment.snapshot.step}|{moment.name}"


def _said(moment: Moment) -> str:
    """The snapshot's name with its step, where it does not say that itself."""
    step = str(moment.snapshot.step)
    return moment.name if step in re.findall(r"\d+", moment.name) else f"{moment.name} ({step})"


def _curve(
    run: StyledRun, moment: Moment, kernel: str, spectrum: Spectrum, points: int, *, alone: bool
) -> dict[str, Any]:
    index = thinned(spectrum.resolved, points) if spectrum.resolved else None
    picked = [] if index is None else (index - 1).tolist()
    stage = moment.stage
    by_place = moment.colour if alone else moment.shade(run.colour)
    return {
        "group": _key(moment),
        "colour": run.colour if stage else by_place,
        "dash": _DASHES[stage] if stage else "solid",
        "width": _WIDTHS[stage] if stage else _MANY,
        "snapshot": html.escape(moment.name),
        "step": moment.snapshot.step,
        "kernel": html.escape(kernel),
        "index": [i + 1 for i in picked],
        "value": [plain(float(f"{spectrum.eigenvalues[i]:.5e}")) for i in picked],
        "error": [plain(float(f"{spectrum.error[i]:.1e}")) for i in picked],
        "floor": plain(float(spectrum.floor)),
        "known": len(spectrum.eigenvalues),
        "size": spectrum.size,
        "resolved": spectrum.resolved,
    }


def _training(report: Report) -> dict[str, Any]:
    """Every kernel at every snapshot, against the step."""
    axis, names = StepAxis.of(steps_of(report)), kernel_names(report.runs, 40)
    return {
        "ticks": axis.ticks(steps_of(report)),
        "kernels": [html.escape(names[kernel]) for kernel in kernels_of(report)],
        "runs": [
            {
                "name": html.escape(styled.name),
                "colour": styled.colour,
                "series": {
                    html.escape(names[kernel]): _series(styled, kernel, axis)
                    for kernel in kernels_of(report)
                    if any(kernel in snapshot.spectra for snapshot in styled.run.snapshots)
                },
            }
            for styled in styled_runs(report)
        ],
    }


def _series(styled: StyledRun, kernel: str, axis: StepAxis) -> dict[str, Any]:
    found = history(styled.run, kernel)
    return {
        "at": [axis.position(moment.step) for moment in found],
        "head": [f"{html.escape(moment.name)}, step {moment.step}" for moment in found],
        "floor": [None if moment.floor is None else plain(float(moment.floor)) for moment in found],
        "values": [
            _values(getattr(moment, name) for moment in found)
            for name in ("lambda_max", "lambda_min", "effective_rank", "distance")
        ],
    }


def _values(values: Iterable[Value]) -> dict[str, list[Any]]:
    found = [*values]
    return {
        "number": [_rounded(value.number) for value in found],
        "most": [_rounded(value.at_most) for value in found],
        "zero": [value.zero for value in found],
        "said": [html.escape(value.said) for value in found],
    }


def _rounded(value: float | None) -> Any:
    return None if value is None else plain(float(f"{value:.5e}"))
