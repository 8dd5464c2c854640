"""Define the job that analyses one run file and writes its folder of results; any process can run it."""

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
from ntkspec.runs.analysis import RunSettings, analyze_run


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
    stack.enter_context(sandbox.server("ntkspec.store"))
    atexit.register(stack.close)
