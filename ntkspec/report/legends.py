"""Make the legends of figures: an entry for each run, stage of training, floor and mark that was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ntkspec.report.canvas import GREY, text
from ntkspec.report.curves import (
    BAND,
    BAR,
    CROSS,
    FAINT,
    STAGE_DASHES,
    STAGE_WIDTHS,
    by_stage,
    hatched,
    sign_of,
)
from ntkspec.report.records import Report
from ntkspec.report.style import STAGE_TITLES, STAGES, Stage, StyledRun, last_name
from ntkspec.spectral.record import Spectrum

FLOOR = "numerical floor"  # the entry of the floors

Curve: TypeAlias = tuple[StyledRun, str]  # a run, and the name of one of its kernels


def run_handles(runs: Sequence[StyledRun], *, signed: bool = False) -> list[Line2D]:
    """Return a legend entry for the colour of each run, with its marker where curves have one."""
    return [handle(run.name, run.colour, sign_of(run, several=signed)) for run in runs]


def handle(label: str, colour: str, sign: str = "", stage: Stage = "end") -> Line2D:
    """Return a legend entry for a colour and a stage's dashes, with matplotlib's marker `sign` if any."""
    return Line2D(
        [], [], color=colour, linestyle=STAGE_DASHES[stage], linewidth=2.0, label=text(label), marker=sign,
        markersize=5,
    )  # fmt: skip


def stage_handles(
    report: Report,
    curves: Sequence[Curve],
    *,
    hatches: Sequence[Curve] = (),
    shown: Sequence[Stage] = STAGES,
) -> list[Line2D | Patch]:
    """Return legend entries for the line styles, floors and end marks of these curves.

    Args:
        report: names the end of training.
        curves: runs, with the names of the kernels that are drawn of them.
        hatches: those of them with hatches where the last of their eigenvalues are unresolved.
        shown: the stages that are drawn; floors are those of the last one.
    """
    last = last_name(report)
    names = {**STAGE_TITLES, "end": STAGE_TITLES["end"] if last == "end" else text(last, 24)}
    drawn = {curve: by_stage(*curve, shown) for curve in (*curves, *hatches)}
    found = {stage for spectra in drawn.values() for stage in spectra}
    handles: list[Line2D | Patch] = [
        mark(names[stage], linestyle=STAGE_DASHES[stage], linewidth=STAGE_WIDTHS[stage])
        for stage in STAGES
        if stage in found
    ]
    ends = {curve: [*spectra.values()][-1:] for curve, spectra in drawn.items()}
    return [
        *handles,
        *mark_handles(
            [spectrum for spectra in drawn.values() for spectrum in spectra.values()],
            floors=[spectrum for end in ends.values() for spectrum in end],
            hatches=[spectrum for curve in hatches for spectrum in ends[curve]],
        ),
    ]


def mark_handles(
    spectra: Sequence[Spectrum],
    *,
    floors: Sequence[Spectrum] = (),
    hatches: Sequence[Spectrum] = (),
    name: str = FLOOR,
) -> list[Line2D | Patch]:
    """Return legend entries for the floors and end marks that occur in these spectra.

    Args:
        spectra: all whose curves are drawn.
        floors: those whose floors are drawn.
        hatches: those with hatches where eigenvalues are unresolved.
        name: of the floors.
    """
    has_floor = any(spectrum.floor > 0 for spectrum in floors)
    handles: list[Line2D | Patch] = [mark(name, linewidth=0.8, alpha=FAINT)] if has_floor else []
    if any(map(hatched, hatches)):
        handles.append(_swatch("unresolved", facecolor="none", edgecolor=GREY, hatch="//////"))
    if any(0 < spectrum.resolved < len(spectrum.eigenvalues) for spectrum in spectra):
        handles.append(mark("last resolved value", linestyle="none", **CROSS))
        handles.append(_swatch("stated error", color=GREY, alpha=BAND))
    if any(not spectrum.complete for spectrum in spectra):
        handles.append(mark("last computed value", linestyle="none", **BAR))
    return handles


def mark(label: str, **look: Any) -> Line2D:
    """Return a legend entry for a marker or a line that does not belong to a single run."""
    return Line2D([], [], color=GREY, label=label, **look)


def legend_below(figure: Figure, handles: Sequence[object]) -> None:
    """Put a legend below all panels, in as many columns as there is room for."""
    columns = max(2, int(figure.get_figwidth() / 2.4))
    figure.legend(
        handles=list(handles),
        loc="outside lower center",
        ncols=min(columns, len(handles)),
        frameon=False,
        fontsize=9,
    )


def _swatch(label: str, **look: Any) -> Patch:
    """Return a legend entry for an area; as a rectangle of no size it can be added to axes, too."""
    return Rectangle((0.0, 0.0), 0.0, 0.0, linewidth=0, label=label, **look)
