"""Figure 3: what the networks draw at the end of training, with its quality under it.

    python -m analysis.paper.fig3_pictures paper/2d -o fig3.png
    python -m analysis.paper.fig3_pictures paper/3d -o surfaces.png

Needs the run files, which carry the pictures.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes

import ntkspec
from analysis.paper import command
from analysis.paper.drawing import NAMES, new_axes, new_figure, save
from analysis.paper.packed import no_runs
from ntkspec.commands.cli import positive
from ntkspec.report.records import Picture
from ntkspec.report.thinning import few

SHOWN = {
    "psnr_db": "{:.1f} dB",
    "ms_ssim": "MS-SSIM {:.3f}",
    "iou": "IoU {:.3f}",
    "chamfer": "Chamfer {:.4f}",
}


def draw(study: Path, output: Path, count: int) -> None:
    """Draw a row for each of `count` items, evenly spread: the truth, then every preset."""
    items = sorted({path.parent for path in study.glob("*/*.h5")})
    if not items:
        raise no_runs(study)
    chosen = [items[i] for i in few(len(items), count)]
    columns = 1 + len(NAMES)
    figure = new_figure(1.9 * columns, 2.25 * len(chosen))
    panels = iter(new_axes(figure, len(chosen), columns, share=False))
    for item in chosen:
        with ntkspec.open_run(item / "baseline.h5") as run:
            _show(next(panels), run.pictures.get("truth"), item.name.partition("_")[2] or item.name, "")
        for name, title in NAMES.items():
            with ntkspec.open_run(item / f"{name}.h5") as run:
                metrics = run.snapshot("end").metrics
                said = [form.format(metrics[key]) for key, form in SHOWN.items() if key in metrics]
                _show(next(panels), run.pictures.get("end"), title, ", ".join(said))
    save(figure, output, colours=256)


def _show(axes: Axes, picture: Picture | None, title: str, caption: str) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.set_title(title.replace("_", " "), fontsize=9)
    axes.set_xlabel(caption or " ", fontsize=8)
    if picture is None:
        axes.text(0.5, 0.5, "no surface", ha="center", va="center", transform=axes.transAxes, fontsize=9)
    else:
        axes.imshow(picture, cmap="gray" if picture.ndim == 2 else None, vmin=0, vmax=255)


def main() -> None:
    """Draw what the command line asks for."""
    parser = command.parser(__doc__)
    parser.add_argument("study", type=Path, help="folder of run files")
    parser.add_argument("-o", "--output", type=Path, default=Path("fig3.png"))
    parser.add_argument("--count", type=positive(int), default=4, help="rows (default 4)")
    options = parser.parse_args()
    draw(options.study, options.output, options.count)


if __name__ == "__main__":
    command.run(main)
