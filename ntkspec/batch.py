"""python -m ntkspec.batch: many run files in, a folder of results for each out, and a report of all."""

from __future__ import annotations

if __name__ == "__main__":  # before NumPy and SciPy take their half second
    from ntkspec.commands.cli import begin

    begin()

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from ntkspec.cluster.jobs import Ended, run_jobs
from ntkspec.cluster.profile import read_profile
from ntkspec.cluster.workers import SLURM, Cluster
from ntkspec.commands.cli import DONE, FAILED, in_words, line_on_stderr, one_line, run_command
from ntkspec.commands.progress import Say, progress
from ntkspec.display import counted
from ntkspec.errors import KernelFileError, NtkspecError, UsageError
from ntkspec.extras import needs_cluster
from ntkspec.population.batch_request import Batch, read_batch
from ntkspec.population.batch_request import make_parser as make_parser  # as every command has it
from ntkspec.population.batched import (
    Gathered,
    RunDone,
    RunJob,
    analyse,
    gather,
    is_reported,
    remaining,
    so_far,
)
from ntkspec.population.report import Failed
from ntkspec.population.report.write import write_population_apart
from ntkspec.population.results import forget_failure, note_failure
from ntkspec.report.write import JSON, PAGE
from ntkspec.runs.shared_kernels import write_kernels_with

RunEnded = Ended[RunJob, RunDone]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code: 0 done, 1 a run failed, 2 bad usage."""
    return run_command(lambda: _do(read_batch(argv)))


def _do(batch: Batch) -> int:
    if batch.kernels is not None:
        return _kernels(batch, batch.kernels)
    if batch.report_only:
        _report(batch, gather(batch.results, batch.job.settings, batch.files), anew=True)
        return DONE
    files = batch.files or ()
    todo = remaining(files, batch.job)
    if batch.dry_run:
        return _show(batch, todo)
    counts = _analyse(batch, todo)
    analysed, already, failed = counts["analysed"], len(files) - len(todo) + counts["there"], counts["failed"]
    if not batch.quiet:
        words = f"{counted(run=analysed)} analysed, {already} there already, {failed} failed"
        print(f"{words}: {batch.results}")
    if not analysed + already:
        return FAILED if failed else DONE
    of_all = batch.cluster is not None  # not of a share, beside which others are analysed
    gathered = gather(batch.results, batch.job.settings, None if of_all else files)
    if of_all:
        _report(batch, gathered, anew=batch.job.again)
    return FAILED if failed or gathered.broken else DONE


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
            except KernelFileError as error:
                _pass_over(batch, error)
                continue
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
    print(f"{counted(file=len(batch.files or ()))}, of which to be analysed: {len(todo)}")
    for job in todo:
        print(f"  {one_line(job.run)}")
    if batch.cluster is not None and batch.cluster.place == SLURM:
        with needs_cluster("⟦--cluster|place=slurm⟧"):
            from ntkspec.cluster.slurm import job_script
        print(f"\n{batch.cluster.workers} jobs of SLURM, each of this script:\n")
        print(job_script(profile.slurm))
    return DONE


def _analyse(batch: Batch, todo: Sequence[RunJob]) -> Counter[str]:
    """Do the jobs, print each failure at once, and return the counts; see `so_far`."""
    counts: Counter[str] = Counter()
    if todo:
        with progress(quiet=batch.quiet) as say:
            for ended in _ends(batch.cluster, todo, counts, say):
                if isinstance(ended.error, KernelFileError):
                    counts["no run"] += 1
                    forget_failure(batch.results, ended.job.run)  # of a version to which it was one
                    _pass_over(batch, ended.error)
                elif ended.error is not None:
                    counts["failed"] += 1
                    reason = _reason(ended.job.run, ended.error)
                    note_failure(batch.results, Failed(ended.job.run, reason), batch.job.settings)
                    line_on_stderr(f"failed: {ended.job.run}: {reason}")
                if ended.answer is not None:
                    counts["analysed" if ended.answer.analysed else "there"] += 1
                    for statement in ended.answer.broken:
                        line_on_stderr(f"warning: {statement}")
    return counts


def _pass_over(batch: Batch, error: KernelFileError) -> None:
    """Say that a file is none to analyse: kernels may lie among the run files that they are of."""
    if not batch.quiet:
        line_on_stderr(f"passed over: {error.where}: {error.got}")


def _reason(run: str, error: Exception) -> str:
    """Return why a run failed, without its name."""
    return in_words(error)[0].removeprefix(f"{run}: ")


def _ends(
    cluster: Cluster | None, todo: Sequence[RunJob], counts: Counter[str], say: Say
) -> Iterator[RunEnded]:
    start = time.monotonic()

    def at_work(count: int) -> None:
        say(so_far(counts, len(todo), count, time.monotonic() - start))

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
                say(f"{counted(run=len(todo))} to be done when a worker comes to {workers.where}")

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
    folder = batch.population
    if not gathered.made:
        raise UsageError(
            str(batch.results),
            expected="folders of results",
            got="none of these runs",
            remedy="analyse some first",
        )
    if anew or not is_reported(folder, gathered):
        with progress(quiet=batch.quiet) as say:
            say(f"reporting on {counted(run=len(gathered.made))}")
            reports = [made.folder(batch.results) / JSON for made in gathered.made]
            write_population_apart(reports, folder, gathered.failures, gathered.broken)
    if not batch.quiet:
        print(f"Report: {folder / PAGE}")


if __name__ == "__main__":
    sys.exit(main())
