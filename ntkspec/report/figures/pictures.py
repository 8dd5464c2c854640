"""Draw the figure "pictures": the target picture and the picture that each run has learnt."""

from __future__ import annotations

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkspec.report.canvas import new_figure, new_panels, say_first, text
from ntkspec.report.figures import Caption, left_out
from ntkspec.report.figures.spectra import MOST_TOGETHER
from ntkspec.report.records import Picture, Report
from ntkspec.report.style import styled_runs, when_last
from ntkspec.report.tiles import tiles

ORDER = 6  # among the figures


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
