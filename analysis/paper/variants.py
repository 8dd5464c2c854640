"""Variants of presets: every option with every preset, a figure and a table of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.paper.drawing import draw_mean, finish, legend, line, new_axes, new_figure, save
from analysis.paper.study import Settings, Study, trainings
from analysis.paper.tables import curves, enclosure, markdown, mean, metrics, ratio, runs_of, smallest, stages
from ntkspec.population.jobs import Job
from ntkspec.population.outcomes import Outcome, Stage

COLOURS = ("#1f1f1f", "#3565c4", "#00796b", "#b51d0e", "#f0952b")


@dataclass(frozen=True)
class Variants:
    """Every option with every preset; the name of a run is <preset>-<option>."""

    presets: Mapping[str, str]  # preset -> title
    options: Mapping[str, Settings]  # what is varied; the others are held against the first
    kernels: Sequence[str] = ("total",)  # to draw

    def study(self, name: str) -> Study:
        """Return the study of all of them."""
        return Study(name, self.jobs, self.draw, self.table)

    def jobs(self, folder: Path, pictures: Sequence[Path], scale: Settings) -> list[Job]:
        """Return a training for each."""
        named = {
            f"{preset}-{option}": {"preset": preset, **own}
            for preset in self.presets
            for option, own in self.options.items()
        }
        return trainings(named, folder, pictures, scale)

    def draw(self, outcomes: Sequence[Outcome], output: Path) -> None:
        """Draw a row for each kernel: a panel of spectra for each preset; beside the first row, PSNR."""
        runs, columns = runs_of(outcomes), len(self.presets) + 1
        figure = new_figure(4.3 * columns, 4.2 * len(self.kernels) + 0.6)
        panels = new_axes(figure, len(self.kernels), columns, share=False)
        for row, kernel in enumerate(self.kernels):
            for column, (preset, title) in enumerate(self.presets.items()):
                axes = panels[row * columns + column]
                for option, colour in zip(self.options, COLOURS, strict=False):
                    draw_mean(axes, curves(runs[f"{preset}-{option}"], kernel=kernel), colour, "end")
                heading = title if kernel == "total" else f"{title}, the {kernel}'s kernel"
                finish(axes, heading, y_label=column == 0)
            panels[(row + 1) * columns - 1].set_visible(row == 0)
        self._quality(panels[columns - 1], metrics(runs, "psnr_db"))
        entries = [line(option, colour) for option, colour in zip(self.options, COLOURS, strict=False)]
        legend(figure, entries, len(entries))
        save(figure, output)

    def _quality(self, axes: Axes, psnr: pd.DataFrame) -> None:
        """Draw PSNR of every picture, and their mean."""
        for column, preset in enumerate(self.presets):
            for k, (option, colour) in enumerate(zip(self.options, COLOURS, strict=False)):
                values = psnr[f"{preset}-{option}"]
                at = column + (k - (len(self.options) - 1) / 2) * 0.15
                axes.bar([at], [np.mean(values)], width=0.13, color=colour, alpha=0.5)
                axes.plot([at] * len(values), values, "o", color=colour, markersize=3)
        axes.set_xticks(range(len(self.presets)), list(self.presets.values()))
        axes.set(title="PSNR in dB (dots: pictures)")

    def table(self, outcomes: Sequence[Outcome]) -> str:
        """Return PSNR and lambda_min, both also against the first option, and what bounds say of it."""
        runs, first, rows = runs_of(outcomes), next(iter(self.options)), {}
        psnr, spectra, ends = metrics(runs, "psnr_db"), curves(runs), stages(runs)
        for preset, title in self.presets.items():
            for option in self.options:
                name, reference, other = f"{preset}-{option}", f"{preset}-{first}", option != first
                rows[f"{title}, {option}"] = {
                    "PSNR in dB": mean(psnr[name]),
                    f"over {first}, dB": mean(psnr[name] - psnr[reference]) if other else "",
                    "lambda_min": smallest(spectra[name]),
                    f"over {first}, decades": ratio(spectra[name], spectra[reference]) if other else "",
                    "certified": enclosure(ends[name]),
                    "best other lower bound": _lower(ends[name]),
                }
        return markdown(rows, "network")


def _lower(ends: Sequence[Stage]) -> str:
    """Return the largest lower bound on lambda_min beside the certified one, over all items the least."""
    best = []
    for end in ends:
        others = {name: value for name, value in end.lower.items() if not name.startswith("certified")}
        name = max(others, key=lambda each: others[each])
        best.append((others[name], name))
    value, name = min(best)
    return f"{value:.1e} ({name})" if value > 0 else "none above 0"
