"""Collect what the page's figure draws, as JSON: spectra, alignments, and numbers through training."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ntkspec.report.grouping import grouped
from ntkspec.report.moments import Moment, by_step, moments
from ntkspec.report.names import at_step, kernel_names
from ntkspec.report.records import Report, RunReport
from ntkspec.report.style import STAGES, Stage, StyledRun, last_name, styled_runs
from ntkspec.report.themes import INK, PAPER
from ntkspec.report.thinning import few, points_each, thinned
from ntkspec.report.through_training import (
    QUANTITIES,
    TITLES,
    StepAxis,
    Value,
    course,
    drawn_metrics,
    has_training,
    kernels_of,
    log_beyond,
    metric_title,
    steps_of,
)
from ntkspec.report.to_json import rounded
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.report_values import number

_INK = "#1d1d1f"  # of the light theme
_ALIGNED = ("alignment", "residual")
_MANY = 1.4  # width of the curve of one of many snapshots
_DASHES: dict[Stage, str] = {"init": "dot", "mid": "dash", "end": "solid"}
_WIDTHS: dict[Stage, float] = {"init": 1.0, "mid": 1.6, "end": 2.2}
_SYMBOLS = {"lambda_max": " λ<sub>max</sub>", "lambda_min": " λ<sub>min</sub>"}
_LAST_STEP = 1e6  # of the curves of the residual


def plot_data(report: Report) -> dict[str, Any]:
    """Return the data of the page's figure as JSON values; of spectra only resolved eigenvalues, thinned.

    Kernels that are exactly zero have no curve. Names are escaped, since plotly reads some HTML in them.
    Curves name their kernel by its position in `kernels`.
    """
    stepwise, kernels, aligned = by_step(report), kernel_names(report.runs, 40), _aligned(report)
    runs = [(styled, moments(styled.run, stepwise=stepwise)) for styled in styled_runs(report)]
    drawn = sum(len(moment.snapshot.spectra) for _, of_run in runs for moment in of_run)
    points = points_each(drawn, most=300, fewest=60, together=40_000)
    alignments = [alignment for of_kernel in aligned.values() for alignment in of_kernel]
    alone, order = len(runs) == 1, kernels_of(report)
    return {
        "views": _views(report, alignments),
        "whole": [*_ALIGNED] if {*aligned} <= {"total"} else [],  # views of the total kernel alone
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
                    alignment_curve(
                        found, _look(styled, moment, order.index(kernel), alone=alone), len(alignments)
                    )
                    for moment in of_run
                    for kernel, found in moment.snapshot.alignments.items()
                ],
            }
            for styled, of_run in runs
        ],
        "training": _training(report) if has_training(report) else None,
    }


def _views(report: Report, alignments: Sequence[Alignment]) -> list[str]:
    """Return the names of the views of the figure for which the report has numbers."""
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
    snapshots = (snapshot for run in report.runs for snapshot in run.snapshots)
    return grouped(item for snapshot in snapshots for item in snapshot.alignments.items())


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
            "name": at_step(moment.name, moment.snapshot.step),
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


def _look(run: StyledRun, moment: Moment, kernel: int, *, alone: bool) -> dict[str, object]:
    """Return the properties that all curves of a kernel at a snapshot share, such as colour and dash."""
    stage = moment.stage
    by_place = (moment.colour, moment.dark)
    shades = by_place if alone else (moment.shade(run.colour), moment.shade(run.dark, PAPER))
    colour, dark = (run.colour, run.dark) if stage else shades
    own_dash = ",".join(f"{_WIDTHS['end'] * part:g}px" for part in run.dash)
    return {
        "group": _key(moment),
        "colour": colour,
        "dark": dark,
        "dash": (stage == "end" and own_dash) or _DASHES[stage] if stage else "solid",
        "width": _WIDTHS[stage] if stage else _MANY,
        "snapshot": html.escape(at_step(moment.name, moment.snapshot.step)),
        "kernel": kernel,
    }


def _curve(spectrum: Spectrum, points: int, look: Mapping[str, object]) -> dict[str, object]:
    index = thinned(spectrum.resolved, points).tolist() if spectrum.resolved else []
    return {
        **look,
        "index": index,
        "value": [rounded(spectrum.eigenvalues[i - 1], 5) for i in index],
        "error": [rounded(spectrum.error[i - 1], 1) for i in index],
        "floor": number(spectrum.floor),
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
        "metrics": [
            [_series(styled.run, [name], axis) for name in metrics] for styled in styled_runs(report)
        ],
        "runs": [
            {
                str(order.index(kernel)): _series(styled.run, QUANTITIES, axis, kernel)
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


def _series(
    run: RunReport, quantities: Sequence[str], axis: StepAxis, kernel: str = "total"
) -> dict[str, object]:
    """Return quantities of a kernel, or a metric, against the step; with lambda_min among them, the floor."""
    courses = {quantity: course(run, quantity, kernel) for quantity in quantities}
    points = courses[quantities[0]]
    floors = [point.floor for point in courses.get("lambda_min", ())]
    return {
        "at": [axis.position(point.step) for point in points],
        "head": [html.escape(at_step(point.name, point.step)) for point in points],
        **({"floor": [number(floor) for floor in floors]} if floors else {}),
        "values": [_values([point.value for point in of_quantity]) for of_quantity in courses.values()],
    }


def _values(values: Sequence[Value]) -> dict[str, list[object]]:
    return {
        "number": [rounded(value.number, 5) for value in values],
        "most": [rounded(value.at_most, 5) for value in values],
        "zero": [value.zero for value in values],
        "infinite": [value.infinite for value in values],
        "said": [html.escape(value.said) for value in values],
    }


def alignment_curve(alignment: Alignment, look: Mapping[str, object], drawn: int) -> dict[str, object]:
    """Return a curve of the target's share beyond the first k modes and, if known, one of the residual.

    Steps are those of gradient descent with learning rate 1 / lambda_max, which differs between networks.

    Args:
        alignment: of a kernel at a snapshot.
        look: how its spectrum is drawn: group, colours, dash and so on.
        drawn: how many such curves a page has.
    """
    resolved, points = len(alignment.target), points_each(drawn, most=120, fewest=30, together=20_000)
    index = thinned(resolved, points).tolist() if resolved else []
    steps = np.geomspace(1.0, _LAST_STEP, points // 2 + 1)
    flow = alignment.residual_over_time(steps / alignment.eigenvalues[0]) if resolved else None
    return {
        **look,
        "index": [0.5, *index],  # a log axis has no zero
        "left": _rounded([alignment.beyond(k) for k in (0, *index)]),
        "known": resolved == alignment.size,
        "modes": alignment.modes(),
        "steps": [] if flow is None else _rounded(steps),
        "least": [] if flow is None else _rounded(flow[0]),
        "most": [] if flow is None else _rounded(flow[1]),
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [rounded(value, 3) for value in values]
