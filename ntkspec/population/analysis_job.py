"""The job that analyses one run file into its folder of results, in whichever process."""

from __future__ import annotations

import atexit
import contextlib
import functools
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec import sandbox
from ntkspec.backend import select
from ntkspec.errors import RunFileError
from ntkspec.population.results import find, forget_failure, identify, remember, write_results
from ntkspec.report.compare import assemble
from ntkspec.report.summary import failures
from ntkspec.run_analysis import RunSettings, analyze_run


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

    analysed: bool  # False: the results were there
    broken: tuple[str, ...] = ()  # bounds and checks that do not hold


def analyse(job: RunJob) -> RunDone:
    """Analyse a run file, unless its results are there.

    Args:
        job: what to do.

    Raises:
        NtkspecError: the run file is bad, does not fit into memory, or its results cannot be written.
    """
    results = Path(job.results)
    wanted = identify(Path(job.run), job.settings)
    there = find(results, wanted, pages=job.pages)
    if there is not None and not job.again:
        remember(results, there, wanted)
        forget_failure(results, job.run)
        return RunDone(False, there.broken)
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
    """Start what tries files out once in this process, and not once a file."""
    stack = contextlib.ExitStack()
    stack.enter_context(sandbox.server("ntkspec.store"))
    atexit.register(stack.close)
