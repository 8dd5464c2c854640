"""Read and check the options of `python -m ntkspec.batch`; nothing is analysed here."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ntkspec.cluster.shares import devices
from ntkspec.cluster.workers import LOCAL, SLURM, Cluster
from ntkspec.commands.cli import Parser, line_on_stderr, positive
from ntkspec.commands.run_options import add_settings, settings_of
from ntkspec.errors import UsageError
from ntkspec.machine.memory import budget_bytes
from ntkspec.population.batched import RunJob, run_files, share_of
from ntkspec.population.report import check_folder
from ntkspec.report.folders import resolved
from ntkspec.report.places import check_kernel_folder

POPULATION = "population"  # folder of the report of all
EXAMPLE = """\
examples:
  python -m ntkspec.batch 'runs/**/*.h5' -o results/
  python -m ntkspec.batch 'runs/**/*.h5' -o results/ --workers 8 --method svd
  python -m ntkspec.batch 'runs/**/*.h5' -o results/ --cluster slurm --workers 20 --profile gpu
  python -m ntkspec.batch 'runs/**/*.h5' -o results/ --share 3/20
  python -m ntkspec.batch -o results/ --report-only
"""

CLASHES = {  # options, and those that do not go together with them
    "⟦--share⟧": ("⟦--workers⟧", "⟦--profile⟧", "⟦--cluster⟧", "⟦--kernels⟧", "⟦--report-only⟧"),
    "⟦--kernels⟧": ("⟦--report-only⟧", "⟦--dry-run⟧", "⟦--pages⟧", "⟦--again⟧"),
    "⟦--report-only⟧": ("⟦--dry-run⟧", "⟦--pages⟧"),
}
WITHOUT_EFFECT = {  # options, and those that change nothing beside them
    "⟦--kernels⟧": ("⟦--output⟧", "⟦--method⟧", "⟦-k⟧", "⟦--check⟧", "⟦--alignment⟧"),
    "⟦--report-only⟧": ("⟦--again⟧", "⟦--workers⟧", "⟦--profile⟧", "⟦--cluster⟧"),
}


@dataclass(frozen=True)
class Batch:
    """The run files, settings and workers for which a command line asks."""

    files: Sequence[str] | None  # absolute paths; None: all runs that have results
    job: RunJob  # to be done with each
    cluster: Cluster | None  # None: this process does its share alone, and reports on nothing
    kernels: Path | None  # folder to write kernels to, and do nothing else
    report_only: bool
    dry_run: bool
    quiet: bool

    @property
    def results(self) -> Path:
        """Return the folder of results."""
        return Path(self.job.results)

    @property
    def population(self) -> Path:
        """Return the folder of the report of all."""
        return self.results / POPULATION


def read_batch(argv: Sequence[str] | None) -> Batch:
    """Read the words of the command line.

    Raises:
        NtkspecError: options do not fit together, there is no such file, or the report cannot be written.
        SystemExit: an option cannot be parsed; the error was printed in one line.
    """
    parser = make_parser()
    options = parser.parse_args(argv)
    in_use = {name for name, value in vars(options).items() if value != parser.get_default(name)}
    for first, other in _together(CLASHES, in_use):
        remedy = "leave out one of the two"
        raise UsageError(first, expected=f"no {other} beside it", got="both", remedy=remedy)
    for first, other in _together(WITHOUT_EFFECT, in_use):
        if not options.quiet:
            line_on_stderr(f"warning: {other[1:-1]} changes nothing beside {first[1:-1]}")
    results = resolved(options.output)
    if options.kernels is None:
        check_folder(results / POPULATION)
    else:
        check_kernel_folder(options.kernels)
    files: Sequence[str] | None = run_files(options.runs) if options.runs else None
    if files is None and not options.report_only:
        raise UsageError(
            "batch", expected="run files", got="none", remedy="name some, such as 'runs/**/*.h5'"
        )
    if options.share is not None:
        files = share_of(files or (), options.share)
    budget_bytes(options.memory)  # refuses a budget that cannot be, also one of the environment
    job = RunJob("", str(results), settings_of(options), pages=options.pages, again=options.again)
    cluster = None
    if options.share is None:
        cluster = Cluster(options.cluster, options.workers, _profile(options))
    return Batch(files, job, cluster, options.kernels, options.report_only, options.dry_run, options.quiet)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.batch",
        description="Analyse many run files, each into a folder of its own, and report on all of them.\n"
        "What is done is not done again, so that a batch that was killed goes on where it was.",
        epilog=EXAMPLE,
    )
    add = parser.add_argument
    add(
        "runs",
        nargs="*",
        metavar="RUNS",
        help="run files, folders, or quoted patterns such as 'runs/**/*.h5'",
    )
    add("-o", "--output", type=Path, default=Path("results"), metavar="DIR", help="(default: results/)")
    add("--workers", type=positive(int), metavar="N", help="processes (default: one a core, or one a GPU)")
    add(
        "--cluster",
        default=LOCAL,
        metavar="local|slurm|tcp://HOST:PORT",
        help="where they are: this machine (default), jobs of SLURM, those of a Dask scheduler",
    )
    add("--profile", metavar="cpu|gpu|FILE", help="what a worker is given; see docs/cluster.md")
    add("--share", metavar="I/N", help="do every N-th file from the I-th on (from 0) in this process alone")
    add("--pages", action="store_true", help="also write the page and the figures of each run")
    add("--kernels", type=Path, metavar="DIR", help="only assemble kernels, into files there")
    add("--again", action="store_true", help="analyse runs whose results are there, too")
    add("--report-only", action="store_true", help="only report on the results that are there")
    add("--dry-run", action="store_true", help="print what would be done, and the script of a job of SLURM")
    add("-q", "--quiet", action="store_true", help="print nothing but failures")
    add_settings(parser)
    return parser


def _together(table: Mapping[str, Sequence[str]], in_use: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a table of which both options are in use.

    Args:
        table: options, and others of each.
        in_use: the options whose values are not the defaults, as argparse names them.
    """
    for first, others in table.items():
        for other in others:
            if all(option[1:-1].lstrip("-").replace("-", "_") in in_use for option in (first, other)):
                yield first, other


def _profile(options: argparse.Namespace) -> str | None:
    """Return the profile that was named, or else "gpu" if a GPU is requested or found, or else "cpu".

    For a running Dask scheduler, whose workers have their resources, return None unless one was named.
    """
    if options.profile is not None or options.cluster not in (LOCAL, SLURM):
        named: str | None = options.profile
        return named
    has_gpu = options.cluster == LOCAL and find_spec("cupy") is not None and bool(devices())
    return "gpu" if options.backend == "gpu" or (options.backend == "auto" and has_gpu) else "cpu"
