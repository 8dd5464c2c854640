"""The job that analyses one run file into its folder of results, in whichever process."""

from __future__ import annotations

import atexit
import contextlib
import functools
import time
from dataclasses import dataclass
from pathlib import Path

from ntkspec import sandbox
from ntkspec.backend import select
from ntkspec.errors import RunFileError
from ntkspec.population.results import Made, identify, remember, write_results
from ntkspec.report.compare import assemble
from ntkspec.report.summary import failures
from ntkspec.run_analysis import Progress, RunSettings, analyze_run


@dataclass(frozen=True)
class RunJob:
    """One run file to analyse."""

    run: str  # its absolute path
    results: str  # folder of the batch
    settings: RunSettings
    pages: bool = False  # with figures and a page
    again: bool = False  # even if its results are there


@dataclass(frozen=True)
class RunDone:
    """What came of it."""

    folder: str
    analysed: bool  # False: the results were there
    seconds: float
    broken: tuple[str, ...] = ()  # bounds and checks that do not hold


def analyse(job: RunJob, progress: Progress | None = None) -> RunDone:
    """Analyse a run file, unless its results are there.

    Args:
        job: what to do.
        progress: called with a line for every step of the work.

    Raises:
        NtkspecError: the run file is bad, does not fit into memory, or its results cannot be written.
    """
    start, results = time.perf_counter(), Path(job.results)
    made = identify(Path(job.run), job.settings)
    if made.is_there(results) and not job.again:
        remember(results, made)
        return RunDone(str(made.folder(results)), False, time.perf_counter() - start)
    _keep_server()
    run = analyze_run(job.run, job.settings, trial=True, progress=progress)
    _require_unchanged(made)
    report = assemble([run], 0, select(job.settings.backend).name)
    folder = write_results(results, made, report, pages=job.pages)
    return RunDone(str(folder), True, time.perf_counter() - start, failures(report))


def _require_unchanged(made: Made) -> None:
    """Refuse results of a file that is no longer the one that `made` names."""
    if not made.is_unchanged():
        raise RunFileError(
            made.run,
            expected="a file that stays as it is while it is analysed",
            got="one that was changed",
            remedy="start again when whoever writes it is done",
        )


@functools.cache
def _keep_server() -> None:
    """Start what tries files out once in this process, and not once a file."""
    stack = contextlib.ExitStack()
    stack.enter_context(sandbox.server("ntkspec.store"))
    atexit.register(stack.close)
