"""Draw the figure "pictures": the target picture and the picture that each run has learnt."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkspec.qualities import QUALITIES, show
from ntkspec.report.canvas import new_figure, new_panels, say_first, text
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_TOGETHER
from ntkspec.report.records import Picture, Report
from ntkspec.report.style import StyledRun, styled_runs, when_last

ORDER = 6  # among the figures
MOST_PIXELS = 512  # of a picture's side; larger ones are thinned


def caption(report: Report) -> Caption:
    """Return the figure's title, alternative text and caption."""
    return Caption(
        title="Reconstructions",
        alt="The target picture and the picture that each run has learnt.",
        caption=f"Each run's output {when_last(report)} beside its target; a higher PSNR and an MS-SSIM or "
        "an IoU nearer to 1 are better."
        + left_out(len(tiles(styled_runs(report))), MOST_TOGETHER, "pictures"),
    )


def draw(report: Report) -> Figure | None:
    """Draw the target and each run's reconstruction at the end of training, with its metrics.

    Return None if the report has no pictures.
    """
    every = tiles(styled_runs(report))
    shown = every[:MOST_TOGETHER]
    if not shown:
        return None
    columns = min(len(shown), 7)
    rows = -(-len(shown) // columns)
    side = 12.8 / max(columns, 4)
    figure = new_figure(side * columns, (side + 0.5) * rows)
    for axes, tile in zip(new_panels(figure, len(shown), columns, share=False), shown, strict=True):
        _show(axes, tile.picture)
        name = "\n".join(textwrap.wrap(text(tile.name), 22)) or " "
        axes.set_xlabel(f"{name}\n{tile.quality}" if tile.quality else name, fontsize=8.5, linespacing=1.3)
    say_first(figure, len(every), MOST_TOGETHER, "pictures")
    return figure


def _show(axes: Axes, picture: Picture) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.imshow(
        picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255, interpolation="nearest"
    )


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture, and the text below it."""

    picture: Picture
    run: StyledRun | None  # None: the truth
    quality: str  # "" for the truth, and where nothing is known

    @property
    def name(self) -> str:
        """Return whose picture it is."""
        return self.run.name if self.run else "target"


def tiles(runs: Sequence[StyledRun]) -> list[Tile]:
    """Return the runs' last pictures; a target comes before the first run that learnt it."""
    shown: list[Tile] = []
    truth: Picture | None = None
    first = next((run.run.truth for run in runs if run.run.truth is not None), None)
    for run in runs:
        picture = run.end.picture if run.end is not None else None
        if picture is None or run.end is None:
            continue
        target = run.run.truth if run.run.truth is not None else first if truth is None else truth
        if target is not None and (truth is None or not np.array_equal(target, truth)):
            truth = target
            shown.append(Tile(thin(target), None, ""))
        values = (
            (quality.beside_picture, show(run.end.metrics, name)) for name, quality in QUALITIES.items()
        )
        quality = " · ".join(form.format(value) for form, value in values if form and value != "-")
        shown.append(Tile(thin(picture), run, quality))
    return shown


def thin(picture: Picture) -> Picture:
    """Return every k-th pixel, so that no side has more than `MOST_PIXELS`; (H, W) of one channel."""
    step = max(1, -(-max(picture.shape[:2]) // MOST_PIXELS))
    thinned = picture[::step, ::step]
    return thinned[:, :, 0] if thinned.ndim == 3 and thinned.shape[2] == 1 else thinned
