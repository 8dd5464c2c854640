"""Figure 5: mean spectra of all presets, over pictures and over meshes.

python analysis/paper/fig5_domains.py paper/2d paper/3d -o fig5.png
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


def draw(pictures: Path, meshes: Path, output: Path) -> None:
    """A panel for each domain."""
    figure = new_figure(9.6, 5.0)
    for number, (axes, study) in enumerate(zip(new_axes(figure, 1, 2), (pictures, meshes), strict=True)):
        outcomes = load(study)
        for name, colour in COLOURS.items():
            for stage in STAGES:
                draw_mean(axes, curves(outcomes, name, stage, "total"), colour, stage)
        items = len({each.item for each in outcomes})
        finish(axes, f"{items} meshes" if number else f"{items} pictures", y_label=number == 0)
    legend_below(figure, [line(NAMES[name], colour) for name, colour in COLOURS.items()], 4)
    save(figure, output)


def main() -> None:
    """The command line."""
    parser = command.parser(__doc__)
    parser.add_argument("pictures", type=Path, help="the 2D study")
    parser.add_argument("meshes", type=Path, help="the 3D study")
    parser.add_argument("-o", "--output", type=Path, default=Path("fig5.png"))
    options = parser.parse_args()
    draw(options.pictures, options.meshes, options.output)


if __name__ == "__main__":
    command.run(main)
