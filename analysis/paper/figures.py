"""Figures 2, 4 and 5: mean spectra in the middle and at the end of training, with a band over items.

    python -m analysis.paper.figures paper/2d paper/3d -o paper/results

Figure 2 is the ablation: baseline, MPE, and MPE without the grid's gradients. Figure 4 has baseline, Fourier
features and MPEs against each other, figure 5 all of them over pictures and over meshes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from analysis.paper import command, drawing
from analysis.paper.drawing import COLOURS, NAMES, STAGES
from analysis.paper.groups import require
from analysis.paper.tables import curves, runs_of
from ntkspec.population.outcomes import Outcome

NO_GRID = "#00796b"
Panel = tuple[str, Sequence[Outcome], Sequence[tuple[str, str]]]  # title, study, presets and their kernels
ENCODINGS = {
    "Baseline and Fourier features": ("baseline", "ffe-low", "ffe-medium", "ffe-high"),
    "Baseline and multigrid": ("baseline", "mpe-coarse", "mpe-fine"),
    "High Fourier features and multigrid": ("ffe-high", "mpe-coarse", "mpe-fine"),
}


def draw(pictures: Sequence[Outcome], meshes: Sequence[Outcome], folder: Path) -> None:
    """Draw fig2.png, fig4.png and fig5.png into a folder."""
    ablation = [
        (NAMES[name], pictures, [("baseline", "total"), (name, "no_grid"), (name, "total")])
        for name in ("mpe-coarse", "mpe-fine")
    ]
    encodings = [(title, pictures, _totals(names)) for title, names in ENCODINGS.items()]
    domains = []
    for outcomes, single, domain in ((pictures, "picture", "pictures"), (meshes, "mesh", "meshes")):
        items = len({each.item for each in outcomes})
        domains.append((f"{items} {domain if items > 1 else single}", outcomes, _totals(NAMES)))
    _draw(ablation, folder / "fig2.png", width=9.2, columns=3)
    _draw(encodings, folder / "fig4.png", width=13.0, columns=8)
    _draw(domains, folder / "fig5.png", width=9.6, columns=4)


def _totals(names: Iterable[str]) -> list[tuple[str, str]]:
    return [(name, "total") for name in names]


def _draw(panels: Sequence[Panel], output: Path, width: float, columns: int) -> None:
    """Draw panels side by side over one legend of so many columns."""
    figure = drawing.new_figure(width, 4.9)
    for axes, (title, outcomes, shown) in zip(drawing.new_axes(figure, 1, len(panels)), panels, strict=True):
        require(outcomes, [name for name, _ in shown])
        runs = runs_of(outcomes)
        for (name, kernel), stage in product(shown, STAGES):
            colour = COLOURS[name] if kernel == "total" else NO_GRID
            drawing.draw_mean(axes, curves(runs[name], stage, kernel), colour, stage)
        drawing.finish(axes, title, y_label=title == panels[0][0])
    drawn = {pair for _, _, shown in panels for pair in shown}
    handles = [drawing.line(NAMES[name], COLOURS[name]) for name in NAMES if (name, "total") in drawn]
    if any(kernel == "no_grid" for _, kernel in drawn):
        handles.append(drawing.line("without the grid's gradients", NO_GRID))
    handles += [
        drawing.line("end of training", "#777777"),
        drawing.line("middle of training", "#777777", dashed=True),
    ]
    drawing.legend(figure, handles, columns)
    drawing.save(figure, output)


if __name__ == "__main__":
    command.of_outcomes(__doc__, draw, "pictures", "meshes", output=".")
