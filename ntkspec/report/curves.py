"""Draw spectra as curves, with their floors, errors and marks, and finish the axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.typing import LineStyleType
from numpy.typing import NDArray

from ntkspec.report.canvas import drawn, in_data, light_grid, say
from ntkspec.report.style import MARKERS, STAGES, Stage, StyledRun, stages
from ntkspec.report.thinning import thinned
from ntkspec.spectral.record import Spectrum

INDEX_LABEL = "index $i$"
KERNEL = r"$J\,J^{\mathsf{T}}$"
VALUE_LABEL = rf"eigenvalue $\lambda_i$ of {KERNEL}"

FAINT = 0.55  # of floors
BAND = 0.2  # opacity of stated errors
CROSS: dict[str, Any] = {"marker": "x", "markersize": 5.5}  # where the next values are not resolved
BAR: dict[str, Any] = {"marker": "|", "markersize": 9.0}  # where no further ones were computed
_POINTS = 600  # of a curve; more cannot be seen
_LEAST_SHOWN = 0.1  # of the floor
_MARKS = 6  # on a curve
_NO_CURVE = "no eigenvalue is resolved"
STAGE_DASHES: dict[Stage, LineStyleType] = {
    "init": (0, (1.0, 1.6)),
    "mid": (0, (5.0, 2.0)),
    "end": "solid",
}
STAGE_WIDTHS: dict[Stage, float] = {"init": 0.9, "mid": 1.4, "end": 1.8}
_MANY = 1.3  # width of the curve of one of many snapshots


def draw_spectrum(
    axes: Axes,
    spectrum: Spectrum,
    colour: str,
    stage: Stage | None,
    front: float = 2.0,
    *,
    sign: str = "",
) -> None:
    """Draw the resolved part of a spectrum.

    The curve ends with a cross where it falls below the floor, or with a bar where no further eigenvalues
    were computed.

    Args:
        stage: the stage of training, which sets the style of the line; None for one of many snapshots.
        front: the order of drawing, from 2 to 3; larger ones lie in front.
        sign: matplotlib's marker that tells the curve from others; "" for none.
    """
    if not spectrum.resolved:
        return
    index = thinned(spectrum.resolved, _POINTS)
    values = spectrum.eigenvalues[index - 1]
    _draw_error(axes, spectrum, index, colour)
    axes.plot(
        index,
        values,
        color=colour,
        linestyle=STAGE_DASHES[stage] if stage else "solid",
        linewidth=STAGE_WIDTHS[stage] if stage else _MANY,
        marker=sign or ("o" if len(index) == 1 else None),
        markevery=marked(index) if sign else None,
        markersize=4,
        zorder=front,
    )
    if spectrum.resolved < len(spectrum.eigenvalues):
        _mark_last(axes, index, values, colour, CROSS)
    elif not spectrum.complete:
        _mark_last(axes, index, values, colour, BAR)


def _draw_error(axes: Axes, spectrum: Spectrum, index: NDArray[np.int64], colour: str) -> None:
    """Draw the stated errors as a band around the curve; it can be seen only near the floor."""
    least = spectrum.floor * _LEAST_SHOWN  # an error bar down to zero has no end on a log axis
    low = np.maximum(spectrum.lower[index - 1], least)
    axes.fill_between(
        index, low, spectrum.upper[index - 1], color=colour, alpha=BAND, linewidth=0, zorder=1.5
    )


def _mark_last(
    axes: Axes, index: NDArray[np.int64], values: NDArray[np.float64], colour: str, look: dict[str, Any]
) -> None:
    axes.plot(index[-1:], values[-1:], color=colour, markeredgewidth=1.5, zorder=3, **look)


def draw_floor(axes: Axes, spectrum: Spectrum, colour: str, *, hatch: bool = False) -> None:
    """Draw the floor as a thin line; with `hatch`, hatch where the unresolved eigenvalues lie."""
    if spectrum.floor <= 0:
        return
    axes.axhline(spectrum.floor, color=colour, linewidth=0.8, alpha=FAINT, zorder=1.0)
    # The axes are still linear here, so that small numbers seem to lie inside: make room for this one.
    axes.update_datalim([(1.0, spectrum.floor)], updatex=False)
    if hatch and hatched(spectrum):
        last = _last_unresolved(spectrum)
        axes.fill_between(
            [max(spectrum.resolved, 1), last if last > 1 else 1.5],
            [spectrum.floor, spectrum.floor],
            spectrum.floor / 30,
            facecolor="none",
            edgecolor=colour,
            alpha=0.45,
            hatch="//////",
            linewidth=0,
            zorder=0.9,
        )


def hatched(spectrum: Spectrum) -> bool:
    """Return whether there are eigenvalues for `draw_floor` to hatch: neither resolved nor exactly zero."""
    return spectrum.floor > 0 and spectrum.resolved < _last_unresolved(spectrum)


def _last_unresolved(spectrum: Spectrum) -> int:
    """Return the index beyond which no eigenvalue was computed, or all are known to be zero."""
    if spectrum.singular and spectrum.rank:
        return spectrum.rank.at_most
    return len(spectrum.eigenvalues)


def draw_run(
    axes: Axes,
    run: StyledRun,
    kernel: str = "total",
    *,
    hatch: bool = False,
    shown: Sequence[Stage] = STAGES,
    signed: bool = False,
    floor: bool = True,
) -> None:
    """Draw one kernel of a run at the stages of training in `shown`, and its floor at the last of them.

    Args:
        hatch: whether to hatch the region of the unresolved eigenvalues.
        shown: the stages to draw, each with its own dashes.
        signed: whether the curve of the last stage has the run's marker.
        floor: whether to draw the floor, and with it the hatch.
    """
    spectra = by_stage(run, kernel, shown)
    for i, (stage, spectrum) in enumerate(spectra.items(), start=1):
        front, sign = 2.0 + STAGES.index(stage) * 0.1, sign_of(run, several=signed and i == len(spectra))
        draw_spectrum(axes, spectrum, run.colour, stage, front, sign=sign)
    if spectra and floor:
        draw_floor(axes, [*spectra.values()][-1], run.colour, hatch=hatch)


def by_stage(run: StyledRun, kernel: str, shown: Sequence[Stage]) -> dict[Stage, Spectrum]:
    """Return the spectra of a kernel at those stages of training that are shown, in order of training."""
    return {
        stage: snapshot.spectra[kernel]
        for stage, snapshot in stages(run.run).items()
        if stage in shown and kernel in snapshot.spectra
    }


def sign_of(run: StyledRun, *, several: bool) -> str:
    """Return matplotlib's marker of the run if it is one of several, else ""."""
    return MARKERS[run.marker] if several else ""


def marked(x: NDArray[np.int64]) -> list[int]:
    """Return the positions of a few of these ascending numbers, evenly spaced on a log axis, for markers.

    Example:
        >>> marked(np.array([1, 2, 3, 4, 8, 64]))
        [1, 2, 4, 5]
    """
    wanted = np.geomspace(x[0], x[-1], 2 * _MARKS + 1)[1::2] if len(x) > 1 else x
    return sorted({int(place) for place in np.searchsorted(x, wanted)})


def finish(axes: Axes, title: str = "", *, x_label: bool = True, y_label: bool = True) -> None:
    """Set log scales, labels and a light grid; widen the axes if there is only a single index."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    if axes.get_autoscalex_on():  # a caller's own limits stay, and further curves widen the axes
        low, high = axes.get_xlim()
        axes.set_xlim(max(min(low, 0.9), 0.8), max(high, 12.0), auto=None)
    _say_unresolved(axes)
    light_grid(axes)
    if title:
        axes.set_title(title)
    if x_label:
        axes.set_xlabel(INDEX_LABEL)
        axes.tick_params(axis="x", labelbottom=True)  # there may be no panel below
    if y_label:
        axes.set_ylabel(VALUE_LABEL)


def finish_panels(panels: Sequence[Axes], titles: Sequence[str], columns: int) -> None:
    """Finish panels that share their scales; only the lowest and the leftmost ones have labels.

    Args:
        titles: one for each panel.
        columns: panels in a row.
    """
    for i, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        finish(axes, title, x_label=i + columns >= len(panels), y_label=i % columns == 0)


def _say_unresolved(axes: Axes) -> None:
    """Write a note into a panel that has no curve; set the scale if no other panel shares it."""
    empty = not in_data(axes)
    say(axes, _NO_CURVE, holds=empty)
    if not empty:
        return
    if not any(map(in_data, axes.get_shared_y_axes().get_siblings(axes))):
        heights = [float(np.asarray(line.get_ydata())[0]) for line in drawn(axes)]
        floors = [height for height in heights if height > 0] or [1.0]
        axes.set_ylim(min(floors) / 1e3, max(floors) * 1e3, auto=None)
