"""python -m ntkspec.batch: many run files in, a folder of results for each out, and a report of all."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.cli import begin

    begin()

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ntkspec.cli import DONE, FAILED, Parser, in_words, line_on_stderr, one_line, positive, run_command
from ntkspec.cluster.jobs import Ended, run_jobs
from ntkspec.cluster.profile import read_profile
from ntkspec.cluster.shares import devices
from ntkspec.cluster.workers import LOCAL, SLURM, Cluster
from ntkspec.errors import NtkspecError, UsageError
from ntkspec.extras import needs_cluster
from ntkspec.memory import budget_bytes
from ntkspec.population.analysis_job import RunDone, RunJob, analyse
from ntkspec.population.batched import Gathered, Tally, gather, is_reported, remaining, run_files, share_of
from ntkspec.population.report import Failed
from ntkspec.population.report import check_folder as check_population
from ntkspec.population.report.apart import write_population_apart
from ntkspec.population.results import note_failure
from ntkspec.progress import Say, progress
from ntkspec.report.folders import resolved
from ntkspec.report.write import JSON, PAGE
from ntkspec.run_options import add_settings, settings_of
from ntkspec.shared_kernels import write_kernels_with

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
    "share": ("workers", "profile", "cluster", "kernels", "report-only"),
    "kernels": ("report-only", "dry-run", "pages", "again"),
    "report-only": ("dry-run", "pages"),
}

RunEnded = Ended[RunJob, RunDone]


@dataclass(frozen=True)
class Batch:
    """The run files, settings and workers for which a command line asks."""

    files: Sequence[str] | None  # absolute paths; None: all runs that have results
    job: RunJob  # to be done with each
    cluster: Cluster | None  # None: this process does all, one after the other
    quiet: bool

    @property
    def results(self) -> Path:
        """Return the folder of results."""
        return Path(self.job.results)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 a run failed, 2 bad usage."""
    return run_command(lambda: _command(make_parser().parse_args(argv)))


def _command(options: argparse.Namespace) -> int:
    batch = _batch(options)
    if options.kernels is not None:
        return _kernels(batch, options.kernels)
    if options.report_only:
        _report(batch, gather(batch.results, batch.job.settings, batch.files), anew=True)
        return DONE
    files = batch.files or ()
    todo = remaining(files, batch.job)
    if options.dry_run:
        return _show(batch, todo)
    tally = _analyse(batch, todo)
    already = len(files) - len(todo) + tally.reused
    if not batch.quiet:
        counts = f"{tally.analysed} runs analysed, {already} were there already, {tally.failed} failed"
        print(f"{counts}: {batch.results}")
    broken = tally.broken
    if options.share is None and tally.analysed + already:
        gathered = gather(batch.results, batch.job.settings, None)
        _report(batch, gathered, anew=options.again)
        broken = len(gathered.broken)
    return FAILED if tally.failed or broken else DONE


def _batch(options: argparse.Namespace) -> Batch:
    """Check the options and return what they ask for; do no other work."""
    results = resolved(options.output)
    check_population(results / POPULATION)
    _refuse_together(options)
    files: Sequence[str] | None = run_files(options.runs) if options.runs else None
    if files is None and not options.report_only:
        raise UsageError(
            "batch", expected="run files", got="none", remedy="name some, such as 'runs/**/*.h5'"
        )
    if options.share is not None:
        files = share_of(files or (), options.share)
    budget_bytes(options.memory)  # refuses a budget that cannot be, also one of the environment
    job = RunJob("", str(results), settings_of(options), pages=options.pages, again=options.again)
    return Batch(files, job, _cluster(options), options.quiet)


def _refuse_together(options: argparse.Namespace) -> None:
    """Raise `UsageError` if two options are given together and one of them would have no effect."""
    in_use = {name.replace("_", "-") for name, value in vars(options).items() if value not in (None, False)}
    if options.cluster == LOCAL:
        in_use.discard("cluster")
    for first, others in CLASHES.items():
        for other in others:
            if {first, other} <= in_use:
                raise UsageError(
                    f"⟦--{first}⟧",
                    expected=f"no ⟦--{other}⟧ beside it",
                    got="both",
                    remedy="leave out one of the two",
                )


def _cluster(options: argparse.Namespace) -> Cluster | None:
    if options.share is not None:
        return None
    return Cluster(options.cluster, options.workers, _profile(options))


def _profile(options: argparse.Namespace) -> str | None:
    """Return the profile that was named, or else "gpu" if a GPU is requested or found, or else "cpu".

    For a running Dask scheduler, whose workers have their resources, return None unless one was named.
    """
    if options.profile is not None or options.cluster not in (LOCAL, SLURM):
        named: str | None = options.profile
        return named
    has_gpu = options.cluster == LOCAL and find_spec("cupy") is not None and bool(devices())
    return "gpu" if options.backend == "gpu" or (options.backend == "auto" and has_gpu) else "cpu"


def _kernels(batch: Batch, folder: Path) -> int:
    """Compute the kernels of one run after another; all workers share the work on each."""
    stems = Counter(Path(file).stem for file in batch.files or ())
    repeated = next((stem for stem, count in stems.items() if count > 1), None)
    if repeated is not None:
        raise UsageError(
            "⟦--kernels⟧",
            expected="run files of different names",
            got=f"{repeated} twice",
            remedy="name one at a time",
        )
    failed = 0
    with progress(quiet=batch.quiet) as say, (batch.cluster or Cluster()).start() as workers:
        for file in batch.files or ():
            try:
                paths = write_kernels_with(
                    workers.executor,
                    file,
                    folder,
                    batch.job.settings,
                    at_once=workers.ahead(),
                    progress=say,
                    watch=workers.check,
                )
            except NtkspecError as error:
                workers.check()
                failed += 1
                line_on_stderr(f"failed: {file}: {_reason(file, error)}")
                continue
            if not batch.quiet:
                print("\n".join(map(str, paths)))
    return FAILED if failed else DONE


def _show(batch: Batch, todo: Sequence[RunJob]) -> int:
    """Print which runs would be analysed, and the script of a SLURM job."""
    profile = read_profile((batch.cluster.profile if batch.cluster else None) or "cpu")
    print(f"{len(batch.files or ())} run files, of which {len(todo)} are to be analysed:")
    for job in todo:
        print(f"  {one_line(job.run)}")
    if batch.cluster is not None and batch.cluster.place == SLURM:
        with needs_cluster("⟦--cluster|place=slurm⟧"):
            from ntkspec.cluster.slurm import job_script
        print(f"\n{batch.cluster.workers} jobs of SLURM, each of this script:\n")
        print(job_script(profile.slurm))
    return DONE


def _analyse(batch: Batch, todo: Sequence[RunJob]) -> Tally:
    """Do the jobs, print each failure at once, and return the counts."""
    tally = Tally(len(todo))
    if todo:
        with progress(quiet=batch.quiet) as say:
            for ended in _ends(batch.cluster, todo, tally, say):
                tally.add(ended.answer)
                if ended.error is not None:
                    reason = _reason(ended.job.run, ended.error)
                    note_failure(batch.results, Failed(ended.job.run, reason), batch.job.settings)
                    line_on_stderr(f"failed: {ended.job.run}: {reason}")
                for statement in ended.answer.broken if ended.answer else ():
                    line_on_stderr(f"warning: {statement}")
    return tally


def _reason(run: str, error: Exception) -> str:
    """Return why a run failed, without its name."""
    return in_words(error)[0].removeprefix(f"{run}: ")


def _ends(cluster: Cluster | None, todo: Sequence[RunJob], tally: Tally, say: Say) -> Iterator[RunEnded]:
    start = time.monotonic()

    def at_work(count: int) -> None:
        say(tally.text(count, time.monotonic() - start))

    if cluster is None:
        yield from _in_this_process(todo, at_work)
        return
    say("starting workers")
    with cluster.start(most=len(todo)) as workers:
        start = time.monotonic()

        def watch(underway: int) -> None:
            workers.check(underway)
            at_work(min(underway, workers.connected()))
            if underway and not workers.connected():
                say(f"{len(todo)} runs wait for a worker to come to {workers.where}")

        yield from run_jobs(workers.executor, analyse, todo, ahead=workers.ahead, watch=watch)


def _in_this_process(todo: Sequence[RunJob], at_work: Callable[[int], None]) -> Iterator[RunEnded]:
    for job in todo:
        at_work(1)
        try:
            answer = analyse(job)
        except Exception as error:
            yield Ended(job, None, error)
        else:
            yield Ended(job, answer, None)


def _report(batch: Batch, gathered: Gathered, *, anew: bool) -> None:
    """Write the report of all runs, unless it exists and need not be made again."""
    folder = batch.results / POPULATION
    if not gathered.made:
        raise UsageError(
            str(batch.results),
            expected="folders of results",
            got="none of these runs",
            remedy="analyse some first",
        )
    if anew or not is_reported(folder, gathered):
        with progress(quiet=batch.quiet) as say:
            say(f"reporting on {len(gathered.made)} runs")
            reports = [made.folder(batch.results) / JSON for made in gathered.made]
            write_population_apart(reports, folder, gathered.failures, gathered.broken)
    if not batch.quiet:
        print(f"Report: {folder / PAGE}")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = Parser(
        prog="python -m ntkspec.batch",
        description="Analyse many run files, each into a folder of its own, and report on all of them. What "
        "is done is not done again, so that a batch that was killed goes on where it was.",
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


if __name__ == "__main__":
    sys.exit(main())
