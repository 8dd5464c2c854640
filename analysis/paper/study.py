"""A study beyond the paper: what it trains, and what its outcomes become on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.paper import command
from analysis.paper.groups import require
from analysis.paper.packed import load, pack
from ntkspec.population.jobs import Job
from ntkspec.population.outcomes import Outcome

Settings = Mapping[str, Any]  # of `ntkspec.nets.presets.resolve`
MID_AND_END = frozenset({"mid", "end"})


@dataclass(frozen=True)
class Study:
    """What one module studies. On the page are its figure <name>.png and, at marks of its name, its table."""

    name: str
    # What is to be made, from the folder of the study, the pictures, and the scale.
    jobs: Callable[[Path, Sequence[Path], Settings], Sequence[Job]]
    draw: Callable[[Sequence[Outcome], Path], None]
    table: Callable[[Sequence[Outcome]], str]  # in Markdown

    def run(self, description: str | None) -> None:
        """Make what is missing, draw the figure and print the table, as a command line asks."""
        parser = command.pictures_parser(description, 3)
        files = f"folder for {self.name}.png and {self.name}/{self.name}.json"
        parser.add_argument("--results", type=Path, required=True, help=files)
        options = parser.parse_args()
        command.check_folder(options.results)
        made = self.jobs(options.output, command.pictures_of(options), command.scale_of(options))
        command.make(made, options)
        outcomes = load(options.output)
        require(outcomes, [name for job in made for name in job.kernels])
        self.draw(outcomes, options.results / f"{self.name}.png")
        pack(outcomes, options.results / self.name, lambda _: self.name)
        print(self.table(outcomes))


def trainings(
    named: Mapping[str, Settings],
    folder: Path,
    pictures: Sequence[Path],
    scale: Settings,
    kept: frozenset[str] = MID_AND_END,
) -> list[Job]:
    """Return a job for each of these settings, by the name of its run, on all pictures at once."""
    return [
        Job(folder, tuple(pictures), {**own, **scale}, {name: {}}, kept=kept) for name, own in named.items()
    ]
