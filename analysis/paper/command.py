"""What the command lines here share: one-line errors with exit code 2, as ntkspec's own, and options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from analysis.paper.packed import load
from analysis.paper.sources import PICTURES, sources_in
from ntkspec.cluster.profile import read_profile
from ntkspec.cluster.shares import devices
from ntkspec.cluster.workers import LOCAL, SLURM, Cluster
from ntkspec.commands.cli import DONE, Parser, positive, run_command
from ntkspec.errors import UsageError
from ntkspec.population.jobs import Job, run_all

SCALE = {
    "side": "pixels a side",
    "iterations": "steps of Adam",
    "batch": "pixels or points a step",
    "points": "points to learn from",
    "samples": "pixels or points at which the kernel is taken",
}
DEVICES = ("auto", "cpu", "cuda")
ON_DEVICE = (
    "where to train and export; each worker has one of the GPUs that CUDA_VISIBLE_DEVICES leaves "
    "(default auto: GPUs if there are any)"
)
ANOTHER = "name another folder; to make: by PICTURES=, MESHES= or NTKSPEC_DATA"
PICTURE_SCALE = {"side": 192, "iterations": 1000, "batch": 2048, "samples": 1024}


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script's main function and exit: 0 done, 2 bad input in one line, 130 interrupted."""

    def command() -> int:
        main()
        return DONE

    sys.exit(run_command(command))


def parser(description: str | None) -> Parser:
    """Return a parser that shows a script's docstring as it stands."""
    return Parser(description=description)


def runs_parser(description: str | None, sources: str, **scale: int) -> Parser:
    """Return one for a study of runs: a folder of `sources`, the study's folder, a scale with defaults."""
    asked = parser(description)
    add = asked.add_argument
    add(sources, type=Path, help=f"folder of {sources}")
    add("-o", "--output", type=Path, required=True, help="folder of the study")
    for name, default in scale.items():
        add(f"--{name}", type=positive(int), default=default, help=f"{SCALE[name]} (default {default})")
    add("--device", choices=DEVICES, default="auto", help=ON_DEVICE)
    add("--workers", type=positive(int), help="processes (default 2; one a GPU; of a scheduler's, all)")
    add("--cluster", default=LOCAL, metavar="local|slurm|tcp://HOST:PORT", help="where they are")
    add("--profile", metavar="cpu|gpu|FILE", help="what each is given; see docs/cluster.md")
    return asked


def pictures_parser(description: str | None, count: int | None) -> Parser:
    """Return one for a study of pictures, of `count` of them unless asked otherwise."""
    asked = runs_parser(description, "pictures", **PICTURE_SCALE)
    said = f"how many of the pictures (default {'all' if count is None else count})"
    asked.add_argument("--count", type=positive(int), default=count, help=said)
    return asked


def cluster_of(options: argparse.Namespace) -> Cluster:
    """Return where a study that `runs_parser` was asked for does its jobs.

    On the CPU, a thread for each worker: small networks gain little from a second one, two processes nearly
    everything. With GPUs, a worker for each, and its share of the cores.

    Raises:
        UsageError: a GPU is asked for, and this machine, where the workers are, has none.
    """
    local, profile = options.cluster == LOCAL, options.profile
    here = local and bool(devices())
    if local and options.device == "cuda" and not here:
        raise UsageError(
            "option --device", expected="cpu, since no GPU is here", got="cuda", remedy="leave it out"
        )
    wanted = options.device == "cuda" or (options.device == "auto" and here)
    if profile is None and wanted and options.cluster in (LOCAL, SLURM):
        profile = "gpu"
    if profile is not None and read_profile(profile).gpus:
        return Cluster(options.cluster, options.workers, profile)
    default = 2 if local else None
    return Cluster(options.cluster, options.workers or default, profile, threads=1)


def make(jobs: Iterable[Job], options: argparse.Namespace) -> None:
    """Make what is missing of a study that `runs_parser` was asked for; see `run_all`."""
    run_all([replace(job, device=options.device) for job in jobs], cluster_of(options))


def check_folder(place: Path) -> None:
    """Refuse a file where a folder is to be, before anything is made.

    Raises:
        UsageError: it is one.
    """
    if place.exists() and not place.is_dir():
        raise UsageError(str(place), expected="a folder, or none yet", got="a file", remedy="name another")


def pictures_of(options: argparse.Namespace) -> tuple[Path, ...]:
    """Return those that `pictures_parser` was asked for."""
    return sources(options.pictures, PICTURES, options.count)


def sources(folder: Path, endings: Iterable[str], count: int | None = None) -> tuple[Path, ...]:
    """Return pictures or meshes of a folder; a refusal says how `make` is told of others."""
    return sources_in(folder, endings, count, remedy=ANOTHER)


def scale_of(options: argparse.Namespace) -> dict[str, int]:
    """Return what `runs_parser` was told of the scale."""
    return {name: getattr(options, name) for name in SCALE if hasattr(options, name)}


def of_outcomes(
    description: str | None, work: Callable[..., str | None], *studies: str, file: str = "", output: str = ""
) -> NoReturn:
    """Run a command line that is given folders of outcomes.

    Args:
        description: the script's docstring.
        work: takes the outcomes of every study, then the file and the output if there are such; what it
            returns is printed.
        studies: names of the folders.
        file: name of a further file, if one is read: what <file>.py wrote.
        output: name of the file to write, if there is one and the command line names no other.
    """

    def main() -> None:
        asked = parser(description)
        for study in studies:
            asked.add_argument(study, type=Path, help="folder of run files, or of packed outcomes")
        if file:
            asked.add_argument(file, type=Path, help=f"what {file}.py wrote")
        if output:
            asked.add_argument("-o", "--output", type=Path, default=Path(output), help=f"(default {output})")
        options = vars(asked.parse_args())
        paths = [options[name] for name in (file, output and "output") if name]
        text = work(*(load(options[study]) for study in studies), *paths)
        if text is not None:
            print(text)

    run(main)
