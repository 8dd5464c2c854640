"""Figure 2, the ablation: baseline, MPE, and MPE without the grid's gradients; mean over pictures with band.

python analysis/paper/fig2_ablation.py paper/2d -o fig2.png
"""

from __future__ import annotations

from pathlib import Path

import command
from drawing import (
    COLOURS,
    NAMES,
    NO_GRID,
    STAGES,
    curves,
    draw_mean,
    finish,
    legend_below,
    line,
    new_axes,
    new_figure,
    save,
)
from outcomes import load


def draw(study: Path, output: Path) -> None:
    """A panel for the coarse grid and one for the fine."""
    outcomes = load(study)
    grids = ("mpe-coarse", "mpe-fine")
    figure = new_figure(9.2, 4.9)
    for number, (axes, name) in enumerate(zip(new_axes(figure, 1, 2), grids, strict=True)):
        for stage in STAGES:
            draw_mean(axes, curves(outcomes, "baseline", stage, "total"), COLOURS["baseline"], stage)
            draw_mean(axes, curves(outcomes, name, stage, "no_grid"), NO_GRID, stage)
            draw_mean(axes, curves(outcomes, name, stage, "total"), COLOURS[name], stage)
        finish(axes, NAMES[name], y_label=number == 0)
    shown = [line(NAMES[name], COLOURS[name]) for name in ("baseline", *grids)]
    legend_below(figure, [*shown, line("without the grid's gradients", NO_GRID)], 3)
    save(figure, output)


if __name__ == "__main__":
    command.run(lambda: draw(*command.study_and_output(__doc__, "fig2.png")))
