"""What the further studies share: their command line; variants of presets, a figure and a table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from analysis.paper import command
from analysis.paper.beside import markdown
from analysis.paper.drawing import draw_mean, finish, line, new_axes, new_figure, save
from analysis.paper.scaling_table import enclosure, smallest
from ntkspec.population.groups import by_name, require
from ntkspec.population.intervals import decades, interval, median, said
from ntkspec.population.jobs import Job
from ntkspec.population.outcomes import Outcome, Stage
from ntkspec.population.packed import load, pack

COLOURS = ("#1f1f1f", "#3565c4", "#00796b", "#b51d0e", "#f0952b")


@dataclass(frozen=True)
class Study:
    """Every option with every preset; the name of a run is <preset>-<option>."""

    presets: Mapping[str, str]  # preset -> title
    options: Mapping[str, Mapping[str, Any]]  # what is varied -> its settings
    kernels: Sequence[str] = ("total",)  # to draw

    def jobs(self, folder: Path, pictures: Sequence[Path], scale: Mapping[str, Any]) -> list[Job]:
        """A training for each."""
        return [
            Job(folder, tuple(pictures), {"preset": preset, **scale, **settings}, {f"{preset}-{option}": {}})
            for preset in self.presets
            for option, settings in self.options.items()
        ]

    def draw(self, outcomes: Sequence[Outcome], output: Path) -> None:
        """A row for each kernel: a panel of spectra for each preset; beside the first row, PSNR."""
        groups, columns = by_name(outcomes), len(self.presets) + 1
        figure = new_figure(4.3 * columns, 4.2 * len(self.kernels) + 0.6)
        panels = new_axes(figure, len(self.kernels), columns, share=False)
        for row, kernel in enumerate(self.kernels):
            for column, (preset, title) in enumerate(self.presets.items()):
                axes = panels[row * columns + column]
                for option, colour in zip(self.options, COLOURS, strict=False):
                    runs = groups[f"{preset}-{option}"]
                    draw_mean(axes, [each.end.spectra[kernel] for each in runs], colour, "end")
                heading = title if kernel == "total" else f"{title}, the {kernel}'s kernel"
                finish(axes, heading, y_label=column == 0)
            panels[(row + 1) * columns - 1].set_visible(row == 0)
        self._quality(panels[columns - 1], groups)
        handles = [line(option, colour) for option, colour in zip(self.options, COLOURS, strict=False)]
        figure.legend(
            handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9
        )
        save(figure, output)

    def _quality(self, axes: Axes, groups: Mapping[str, Sequence[Outcome]]) -> None:
        """PSNR of every picture, and their mean."""
        for column, preset in enumerate(self.presets):
            for k, (option, colour) in enumerate(zip(self.options, COLOURS, strict=False)):
                values = [each.end.metric("psnr_db") for each in groups[f"{preset}-{option}"]]
                at = column + (k - (len(self.options) - 1) / 2) * 0.15
                axes.bar([at], [np.mean(values)], width=0.13, color=colour, alpha=0.5)
                axes.plot([at] * len(values), values, "o", color=colour, markersize=3)
        axes.set_xticks(range(len(self.presets)), list(self.presets.values()))
        axes.set(title="PSNR in dB (dots: pictures)")

    def table(self, outcomes: Sequence[Outcome]) -> str:
        """PSNR and lambda_min, both also against the first option, and what bounds say of it, in Markdown."""
        groups, first = by_name(outcomes), next(iter(self.options))
        rows = []
        for preset, title in self.presets.items():
            for option in self.options:
                ends = [each.end for each in groups[f"{preset}-{option}"]]
                reference = [each.end for each in groups[f"{preset}-{first}"]]
                gain, ratio = _against(ends, reference) if option != first else ("", "")
                quality = str(interval([end.metric("psnr_db") for end in ends]))
                kernels = smallest([end.spectra["total"] for end in ends])
                rows.append(
                    [f"{title}, {option}", quality, gain, kernels, ratio, enclosure(ends), _lower(ends)]
                )
        head = ["network", "PSNR in dB", f"over {first}, dB", "lambda_min", f"over {first}, decades"]
        return markdown([*head, "certified", "best other lower bound"], rows)

    def run(self, description: str | None, name: str) -> None:
        """The command line: make what is missing, draw, write the table."""
        run_study(description, name, self.jobs, self.draw, self.table)


def run_study(
    description: str | None,
    name: str,
    jobs: Callable[[Path, Sequence[Path], Mapping[str, Any]], Sequence[Job]],
    draw: Callable[[Sequence[Outcome], Path], None],
    table: Callable[[Sequence[Outcome]], str],
) -> None:
    """The command line of a further study: make what is missing of its jobs, draw, print the table."""
    parser = command.pictures_parser(description, 3)
    parser.add_argument(
        "--results", type=Path, required=True, help=f"folder for {name}.png and {name}/{name}.json"
    )
    options = parser.parse_args()
    command.check_folder(options.results)
    made = jobs(options.output, command.pictures_of(options), command.scale_of(options))
    command.make(made, options)
    outcomes = load(options.output)
    require(outcomes, [kernel for job in made for kernel in job.kernels])
    draw(outcomes, options.results / f"{name}.png")
    pack(outcomes, options.results / name, lambda _: name)
    print(table(outcomes))


def _against(ends: Sequence[Stage], others: Sequence[Stage]) -> tuple[str, str]:
    """Gain of PSNR and ratio of lambda_min, picture by picture."""
    pairs = list(zip(ends, others, strict=True))
    ratios = [decades(one.spectra["total"], other.spectra["total"]) for one, other in pairs]
    gains = [one.metric("psnr_db") - other.metric("psnr_db") for one, other in pairs]
    return str(interval(gains)), said(*median(ratios))


def _lower(ends: Sequence[Stage]) -> str:
    """The largest lower bound on lambda_min beside the certified one, over all items the least."""
    best = []
    for end in ends:
        others = {name: value for name, value in end.lower.items() if not name.startswith("certified")}
        name = max(others, key=lambda each: others[each])
        best.append((others[name], name))
    value, name = min(best)
    return f"{value:.1e} ({name})" if value > 0 else "none above 0"
