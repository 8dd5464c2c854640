"""Make the legends of figures: an entry for each run, stage of training, floor and mark that was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from ntkspec.report.curves import (
    BAND,
    BAR,
    CROSS,
    FAINT,
    GREY,
    STAGE_DASHES,
    STAGE_WIDTHS,
    hatched,
    sign_of,
    text,
)
from ntkspec.report.records import Report
from ntkspec.report.style import STAGES, Stage, StyledRun, last_name, stages
from ntkspec.spectral.eigenvalues import Spectrum

FLOOR = "numerical floor"  # the entry of the floors


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
    report: Report, *, hatch: bool = False, shown: Sequence[Stage] = STAGES
) -> list[Line2D | Patch]:
    """Return legend entries for the line styles, floors and end marks that occur in the report's spectra."""
    names = {"init": "start of training", "mid": "mid-training", "end": "end of training"}
    found = [(s, snapshot) for run in report.runs for s, snapshot in stages(run).items() if s in shown]
    last = last_name(report)
    if last != "end":
        names["end"] = text(last, 24)
    handles: list[Line2D | Patch] = [
        mark(names[stage], linestyle=STAGE_DASHES[stage], linewidth=STAGE_WIDTHS[stage])
        for stage in STAGES
        if any(stage == other for other, _ in found)
    ]
    spectra = [spectrum for _, snapshot in found for spectrum in snapshot.spectra.values()]
    return [*handles, *mark_handles(spectra, hatch=hatch)]


def mark_handles(
    spectra: Sequence[Spectrum], *, hatch: bool = False, floor: str = FLOOR
) -> list[Line2D | Patch]:
    """Return legend entries for the floors and end marks that occur in these spectra.

    Args:
        hatch: whether the region of unresolved eigenvalues is hatched.
        floor: text of the floor's entry; "": none is drawn.
    """
    floors = floor and any(spectrum.floor > 0 for spectrum in spectra)
    handles: list[Line2D | Patch] = [mark(floor, linewidth=0.8, alpha=FAINT)] if floors else []
    if floor and hatch and any(map(hatched, spectra)):
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
