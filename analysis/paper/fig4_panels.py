"""Figure 4: baseline against FFEs, baseline against MPEs, the highest FFE against MPEs; mean over pictures.

python analysis/paper/fig4_panels.py paper/2d -o fig4.png
"""

from __future__ import annotations

from pathlib import Path

import command
from drawing import (
    COLOURS,
    NAMES,
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

PANELS = {
    "Baseline and Fourier features": ("baseline", "ffe-low", "ffe-medium", "ffe-high"),
    "Baseline and multigrid": ("baseline", "mpe-coarse", "mpe-fine"),
    "High Fourier features and multigrid": ("ffe-high", "mpe-coarse", "mpe-fine"),
}


def draw(study: Path, output: Path) -> None:
    """Three panels."""
    outcomes = load(study)
    figure = new_figure(13.0, 4.9)
    for number, (axes, (title, names)) in enumerate(zip(new_axes(figure, 1, 3), PANELS.items(), strict=True)):
        for name in names:
            for stage in STAGES:
                draw_mean(axes, curves(outcomes, name, stage, "total"), COLOURS[name], stage)
        finish(axes, title, y_label=number == 0)
    legend_below(figure, [line(NAMES[name], colour) for name, colour in COLOURS.items()], 8)
    save(figure, output)


if __name__ == "__main__":
    command.run(lambda: draw(*command.study_and_output(__doc__, "fig4.png")))
