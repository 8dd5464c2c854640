"""Collect what the page's figure draws, as JSON: spectra of all snapshots, and numbers through training."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ntkspec.report import words
from ntkspec.report.moments import Moment, by_step, few, moments
from ntkspec.report.names import kernel_names
from ntkspec.report.plot_alignment import alignment_curve
from ntkspec.report.records import Report
from ntkspec.report.style import STAGES, Stage, StyledRun, last_name, styled_runs
from ntkspec.report.themes import INK, PAPER
from ntkspec.report.thinning import thinned
from ntkspec.report.through_training import (
    QUANTITIES,
    TITLES,
    StepAxis,
    Value,
    drawn_metrics,
    has_training,
    history,
    kernels_of,
    log_beyond,
    metric_course,
    metric_title,
    steps_of,
)
from ntkspec.report.to_json import plain
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.eigenvalues import Spectrum

_POINTS = 300  # of a curve
_ALL_POINTS = 40_000  # of all curves; with more, each has fewer, so that the page stays small
_FEWEST = 60
_INK = "#1d1d1f"  # of the light theme
_ALIGNED = ("alignment", "residual")
_MANY = 1.4  # width of the curve of one of many snapshots
_DASHES: dict[Stage, str] = {"init": "dot", "mid": "dash", "end": "solid"}
_WIDTHS: dict[Stage, float] = {"init": 1.0, "mid": 1.6, "end": 2.2}
_SYMBOLS = {"lambda_max": " λ<sub>max</sub>", "lambda_min": " λ<sub>min</sub>"}


def plot_data(report: Report) -> dict[str, Any]:
    """Return the data of the page's figure as JSON values; of spectra only resolved eigenvalues, thinned.

    Kernels that are exactly zero have no curve. Names are escaped, since plotly reads some HTML in them.
    Curves name their kernel by its position in `kernels`.
    """
    stepwise, kernels = by_step(report), kernel_names(report.runs, 40)
    runs = [(styled, moments(styled.run, stepwise=stepwise)) for styled in styled_runs(report)]
    drawn = sum(len(moment.snapshot.spectra) for _, of_run in runs for moment in of_run)
    points = max(_FEWEST, min(_POINTS, _ALL_POINTS // max(drawn, 1)))
    curves = sum(map(len, _aligned(report).values()))
    alone, order = len(runs) == 1, kernels_of(report)
    return {
        "views": views(report),
        "whole": [*_ALIGNED] if {*_aligned(report)} <= {"total"} else [],  # views of the total kernel alone
        "kernels": [html.escape(kernels.get(kernel, kernel)) for kernel in order],
        "groups": _groups(report, [of_run for _, of_run in runs], alone=alone),
        "runs": [
            {
                "name": html.escape(styled.name),
                "colour": styled.colour,
                "dark": styled.dark,
                "marker": styled.marker,
                "curves": [
                    _curve(spectrum, points, _look(styled, moment, order.index(kernel), alone=alone))
                    for moment in of_run
                    for kernel, spectrum in moment.snapshot.spectra.items()
                    if not spectrum.zero
                ],
                "alignments": [
                    alignment_curve(aligned, _look(styled, moment, order.index(kernel), alone=alone), curves)
                    for moment in of_run
                    for kernel, aligned in moment.snapshot.alignments.items()
                ],
            }
            for styled, of_run in runs
        ],
        "training": _training(report) if has_training(report) else None,
    }


def views(report: Report) -> list[str]:
    """Return the names of the views of the figure for which the report has numbers."""
    alignments = [alignment for of_kernel in _aligned(report).values() for alignment in of_kernel]
    snapshots = [snapshot for run in report.runs for snapshot in run.snapshots]
    spectra = [spectrum for snapshot in snapshots for spectrum in snapshot.spectra.values()]
    has = {
        "spectrum": any(not spectrum.zero for spectrum in spectra),
        "alignment": bool(alignments),
        "residual": any(alignment.residual is not None for alignment in alignments),
        "training": has_training(report) and bool(spectra),
    }
    return [name for name, is_there in has.items() if is_there]


def _aligned(report: Report) -> dict[str, list[Alignment]]:
    """Return all alignments, by kernel."""
    alignments: dict[str, list[Alignment]] = {}
    for run in report.runs:
        for snapshot in run.snapshots:
            for kernel, alignment in snapshot.alignments.items():
                alignments.setdefault(kernel, []).append(alignment)
    return alignments


def _groups(report: Report, by_run: list[tuple[Moment, ...]], *, alone: bool) -> list[dict[str, object]]:
    """Return groups of curves that are shown and hidden together: those of a stage, or of a step and name.

    `shown` is true for the groups that are visible when the page opens. With stages, these are the end and,
    for a single run, the middle. With many snapshots, these are all of them for a single run, otherwise the
    first, the middle and the last of each run.
    """
    present = [moment for of_run in by_run for moment in of_run]
    if not by_step(report):
        names = {"init": "start of training", "mid": "middle", "end": last_name(report)}
        stages = [stage for stage in STAGES if any(moment.stage == stage for moment in present)]
        return [
            {
                "key": stage,
                "name": names[stage],
                "colour": _INK,
                "dark": INK,
                "dash": _DASHES[stage],
                "width": _WIDTHS[stage],
                "shown": stage == "end" or (alone and stage == "mid") or len(stages) == 1,
            }
            for stage in stages
        ]
    shown = {_key(of_run[i]) for of_run in by_run for i in few(len(of_run), 3)}
    first = {_key(moment): moment for moment in reversed(present)}
    return [
        {
            "key": key,
            "name": _said(moment),
            "colour": moment.colour if alone else moment.shade(_INK),
            "dark": moment.dark if alone else moment.shade(INK, PAPER),
            "dash": "solid",
            "width": 3.0,
            "shown": alone or key in shown,
        }
        for key, moment in sorted(first.items(), key=lambda item: (item[1].snapshot.step, item[1].place))
    ]


def _key(moment: Moment) -> str:
    return moment.stage or f"{moment.snapshot.step}|{moment.name}"


def _said(moment: Moment) -> str:
    """Return the snapshot's name, with its step where the name does not say it."""
    step = str(moment.snapshot.step)
    return moment.name if step in re.findall(r"\d+", moment.name) else f"{moment.name} ({step})"


def _look(run: StyledRun, moment: Moment, kernel: int, *, alone: bool) -> dict[str, object]:
    """Return the properties that all curves of a kernel at a snapshot share, such as colour and dash."""
    stage = moment.stage
    by_place = (moment.colour, moment.dark)
    shades = by_place if alone else (moment.shade(run.colour), moment.shade(run.dark, PAPER))
    colour, dark = (run.colour, run.dark) if stage else shades
    return {
        "group": _key(moment),
        "colour": colour,
        "dark": dark,
        "dash": (stage == "end" and _dash(run)) or _DASHES[stage] if stage else "solid",
        "width": _WIDTHS[stage] if stage else _MANY,
        "snapshot": html.escape(moment.name),
        "step": moment.snapshot.step,
        "kernel": kernel,
    }


def _dash(run: StyledRun) -> str:
    """Return a run's own dash in pixels, "" for a solid line."""
    return ",".join(f"{_WIDTHS['end'] * part:g}px" for part in run.dash)


def _curve(spectrum: Spectrum, points: int, look: Mapping[str, object]) -> dict[str, object]:
    index = thinned(spectrum.resolved, points) if spectrum.resolved else None
    picked = [] if index is None else (index - 1).tolist()
    return {
        **look,
        "index": [i + 1 for i in picked],
        "value": [plain(float(f"{spectrum.eigenvalues[i]:.5e}")) for i in picked],
        "error": [plain(float(f"{spectrum.error[i]:.1e}")) for i in picked],
        "floor": plain(float(spectrum.floor)),
        "known": len(spectrum.eigenvalues),
        "size": spectrum.size,
        "resolved": spectrum.resolved,
    }


def _training(report: Report) -> dict[str, object]:
    """Return every kernel at every snapshot, and metrics, against the step; runs in the order of the others.

    Each quantity of a kernel has a panel, then each metric; a run has its metrics in the same order.
    """
    axis, order, metrics = StepAxis.of(steps_of(report)), kernels_of(report), drawn_metrics(report)
    return {
        "panels": [_panel(report, quantity) for quantity in (*QUANTITIES, *metrics)],
        "ticks": axis.ticks(steps_of(report)),
        "metrics": [[_metric(styled, name, axis) for name in metrics] for styled in styled_runs(report)],
        "runs": [
            {
                str(order.index(kernel)): _series(styled, kernel, axis)
                for kernel in order
                if any(kernel in snapshot.spectra for snapshot in styled.run.snapshots)
            }
            for styled in styled_runs(report)
        ],
    }


def _panel(report: Report, quantity: str) -> dict[str, object]:
    beyond = log_beyond(quantity)
    title = TITLES.get(quantity) or html.escape(metric_title(report, quantity))
    return {
        "title": title + _SYMBOLS.get(quantity, ""),
        "log_beyond": beyond if math.isfinite(beyond) else None,
        "from_zero": quantity == "kernel_distance",
    }


def _series(styled: StyledRun, kernel: str, axis: StepAxis) -> dict[str, object]:
    course = history(styled.run, kernel)
    return {
        "at": [axis.position(moment.step) for moment in course],
        "head": [_head(moment.name, moment.step) for moment in course],
        "floor": [None if moment.floor is None else plain(float(moment.floor)) for moment in course],
        "values": [_values([moment.value(quantity) for moment in course]) for quantity in QUANTITIES],
    }


def _metric(styled: StyledRun, name: str, axis: StepAxis) -> dict[str, object]:
    course = metric_course(styled.run, name)
    return {
        "at": [axis.position(point.step) for _, point in course],
        "head": [_head(words.snapshot_name(styled.run, snap, 40), snap.step) for snap, _ in course],
        "values": [_values([point.value for _, point in course])],
    }


def _head(name: str, step: int) -> str:
    return f"{html.escape(name)}, step {step}"


def _values(values: Sequence[Value]) -> dict[str, list[object]]:
    return {
        "number": [_rounded(value.number) for value in values],
        "most": [_rounded(value.at_most) for value in values],
        "zero": [value.zero for value in values],
        "infinite": [value.infinite for value in values],
        "said": [html.escape(value.said) for value in values],
    }


def _rounded(value: float | None) -> object:
    return None if value is None else plain(float(f"{value:.5e}"))
