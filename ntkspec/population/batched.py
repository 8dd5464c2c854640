"""Find the run files of a batch, analyse one of them, and gather the results of all."""

from __future__ import annotations

import atexit
import contextlib
import functools
import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec import sandbox
from ntkspec.backend import select
from ntkspec.display import format_seconds
from ntkspec.errors import RunFileError, UsageError
from ntkspec.population.json_files import OTHER_SHAPE, read_json
from ntkspec.population.report import Failed
from ntkspec.population.report.write import FOLDER, JSON
from ntkspec.population.results import (
    Made,
    all_failures,
    all_made,
    asked,
    find,
    forget_failure,
    identify,
    is_whole,
    remember,
    write_results,
)
from ntkspec.report.compare import assemble
from ntkspec.report.summary import failures
from ntkspec.runs.analysis import RunSettings, analyze_run


def run_files(patterns: Sequence[str]) -> list[str]:
    """Return the absolute paths of the files that patterns name, sorted and each file once.

    Args:
        patterns: paths, or patterns with * and **; a folder stands for all *.h5 below it.

    Raises:
        UsageError: a pattern names no file.
    """
    files: dict[str, str] = {}
    for pattern in patterns:
        inside = f"{glob.escape(pattern)}/**/*.h5" if os.path.isdir(pattern) else pattern
        exists = bool(pattern) and os.path.lexists(pattern) and inside == pattern
        named = [pattern] if exists else glob.glob(inside, recursive=True) if pattern else []
        if not named:
            raise UsageError(
                repr(pattern),
                expected="a run file, a folder of some, or a pattern that names some",
                got="a folder without any" if os.path.isdir(pattern) else "nothing of that name",
                remedy="check it, and quote patterns, lest the shell take ** for *",
            )
        for path in sorted(map(os.path.abspath, named), key=lambda path: (len(path), path)):
            files.setdefault(os.path.realpath(path), path)  # links may lead round in circles
    return sorted(files.values())


def share_of(files: Sequence[str], share: str) -> Sequence[str]:
    """Return every N-th file from the I-th on, counted from 0.

    Args:
        files: the files.
        share: "I/N".

    Raises:
        UsageError: `share` is not of this form, or names no share.

    Example:
        >>> share_of(["a", "b", "c"], "0/2")
        ['a', 'c']
    """
    first, slash, step = share.partition("/")
    if not (slash and first.isascii() and first.isdigit() and step.isascii() and step.isdigit()) or not (
        len(step) < 10 and int(first) < int(step)
    ):
        raise UsageError("⟦--share⟧", expected="I/N with 0 <= I < N", got=repr(share), remedy="such as 0/8")
    return files[int(first) :: int(step)]


def remaining(files: Sequence[str], job: RunJob) -> list[RunJob]:
    """Return a job for each file that has no known results.

    Args:
        files: absolute paths.
        job: a template; each job is a copy of it with the path of its file.
    """
    done: set[str] = set()
    if not job.again:
        results, wanted = Path(job.results), asked(job.settings)
        for made in all_made(results):
            if made.asked == wanted and is_whole(made.folder(results), pages=job.pages):
                done.update(run for run in made.seen if made.is_of(run))
    return [replace(job, run=file) for file in files if file not in done]


@dataclass(frozen=True)
class Gathered:
    """The results of a population, and the runs that have none."""

    made: Sequence[Made]  # of the runs as their files are now, each once
    failures: Sequence[Failed]  # runs that could not be analysed

    @property
    def broken(self) -> list[str]:
        """Return the bounds and checks that do not hold."""
        return [statement for made in self.made for statement in made.broken]


def gather(results: Path, settings: RunSettings, files: Iterable[str] | None) -> Gathered:
    """Return the results and the failures of the runs for these settings.

    If a file was changed, the results of its present bytes are taken if there are any, or else the newest
    results. Runs whose files have equal bytes and names count once.

    Args:
        results: folder of the batch.
        settings: how the runs were analysed. If all results have the same other settings, these are taken.
        files: absolute paths of the runs; None: all runs that have results.

    Raises:
        UsageError: there are results of several other settings, and none of these.
    """
    wanted = None if files is None else frozenset(files)
    all_of = [made for made in all_made(results) if wanted is None or not wanted.isdisjoint(made.seen)]
    way = _way(results, {made.asked for made in all_of}, asked(settings))
    last: dict[str, Made] = {}
    for made in all_of:
        if made.asked == way:
            for run in made.seen if wanted is None else wanted.intersection(made.seen):
                if run not in last or _newness(made, run) > _newness(last[run], run):
                    last[run] = made
    failures = [
        failed
        for failed in all_failures(results, way)
        if (wanted is None or failed.path in wanted)
        and not (failed.path in last and last[failed.path].is_of(failed.path))
    ]
    for failed in failures:  # any results are of bytes that are gone
        last.pop(failed.path, None)
    return Gathered(list({made.folder(results): made for made in last.values()}.values()), failures)


def _newness(made: Made, run: str) -> tuple[bool, int]:
    """Return a sort key by which the results to prefer for a run come last.

    Results of the file as it is now come after others, and newer results after older ones.
    """
    return made.is_of(run), made.seen[run][1]


def _way(results: Path, ways: set[str], wanted: str) -> str:
    """Return the hash of the settings whose results are taken.

    It is `wanted` if some results have it, or else the only hash that the results have.

    Raises:
        UsageError: the results have several hashes, and none of them is `wanted`.
    """
    if wanted not in ways and len(ways) > 1:
        raise UsageError(
            str(results),
            expected="results of these settings",
            got=f"those of {len(ways)} other settings or versions",
            remedy="give the settings that the runs were analysed with",
        )
    return wanted if wanted in ways or not ways else next(iter(ways))


def is_reported(population: Path, gathered: Gathered) -> bool:
    """Return whether a complete report of the population exists, of exactly these results and failures."""
    results = population.parent
    try:
        content = read_json(population / JSON)
        folders = {run["folder"] for run in content["runs"]}
        failures = [Failed(**failure) for failure in content["failures"]]
    except (OSError, *OTHER_SHAPE):
        return False
    whole = all((population / name).is_file() for name in FOLDER.files)
    same = folders == {made.folder(results).name for made in gathered.made}
    return whole and same and failures == list(gathered.failures)


def so_far(counts: Counter[str], total: int, at_work: int, seconds: float) -> str:
    """Return a text: how many jobs are done, failed and running, and about how long the rest may take.

    Args:
        counts: how many were "analysed", had results already ("there") and "failed".
        total: jobs.
        at_work: jobs that run.
        seconds: since the start.

    Example:
        >>> so_far(Counter(analysed=12, failed=1), 200, 2, seconds=60.0)
        '12 done, 1 failed, 2 at work of 200, about 14 min left'
    """
    ended = counts.total()
    words = f"{ended - counts['failed']} done, {counts['failed']} failed, {at_work} at work of {total}"
    if not ended or ended == total:
        return words
    return f"{words}, about {format_seconds(seconds / ended * (total - ended))} left"


@dataclass(frozen=True)
class RunJob:
    """A run file to analyse, and how."""

    run: str  # its absolute path
    results: str  # path of the batch's folder
    settings: RunSettings
    pages: bool = False  # whether to make figures and a page, too
    again: bool = False  # whether to analyse it even if its results exist


@dataclass(frozen=True)
class RunDone:
    """The answer of a job: whether it had to analyse the file, and which bounds and checks do not hold."""

    analysed: bool  # False: there were results already
    broken: tuple[str, ...] = ()  # bounds and checks that do not hold


def analyse(job: RunJob) -> RunDone:
    """Analyse a run file, unless it has results already.

    Args:
        job: what to do.

    Raises:
        NtkspecError: the run file is bad, does not fit into memory, or its results cannot be written.
    """
    results = Path(job.results)
    wanted = identify(Path(job.run), job.settings)
    existing = find(results, wanted, pages=job.pages)
    if existing is not None and not job.again:
        remember(results, existing, wanted)
        forget_failure(results, job.run)
        return RunDone(False, existing.broken)
    _keep_server()
    run = analyze_run(job.run, job.settings, trial=True)
    if not wanted.is_of(job.run):
        raise RunFileError(
            job.run,
            expected="a file that stays as it is while it is analysed",
            got="one that was changed",
            remedy="start again when whoever writes it is done",
        )
    report = assemble([run], None, select(job.settings.backend).name)
    made = replace(wanted, broken=failures(report))
    write_results(results, made, report, pages=job.pages)
    forget_failure(results, job.run)
    return RunDone(True, made.broken)


@functools.cache
def _keep_server() -> None:
    """Keep the server that opens untrusted files running until this process ends.

    Otherwise each file would start a server of its own.
    """
    stack = contextlib.ExitStack()
    stack.enter_context(sandbox.server())
    atexit.register(stack.close)
