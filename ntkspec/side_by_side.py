"""Analyse run files side by side, and return their report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ntkspec import sandbox
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.errors import UsageError
from ntkspec.everywhere import match_everywhere
from ntkspec.jacobian import Outputs
from ntkspec.report.compare import assemble, find_baseline, sample_warnings, unique_labels
from ntkspec.report.places import kernel_files
from ntkspec.report.records import Report, RunReport
from ntkspec.run_analysis import RunWork, chosen
from ntkspec.run_settings import RunSettings, When
from ntkspec.spectral import MethodChoice
from ntkspec.spectral.choose import Progress
from ntkspec.store import Run, open_run


def analyze_runs(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    beside: Report | None = None,
    snapshot: str = "all",
    method: MethodChoice = "auto",
    k: int | None = None,
    outputs: Outputs = "trace",
    drop: Sequence[Sequence[str]] = (),
    baseline: str | None = None,
    backend: Choice | Backend = "auto",
    precision: Precision = "float64",
    memory: float | None = None,
    check: bool = False,
    samples: int | None = None,
    seed: int = 0,
    alignment: When = "auto",
    everywhere: Sequence[str | os.PathLike[str]] = (),
    kernels: str | os.PathLike[str] | None = None,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> Report:
    """Return spectra, ablations, bounds and comparisons of run files.

    For one file alone `ntkspec.run_analysis.analyze_run` does the same.

    Args:
        paths: a run file, or several, which stand side by side and are compared with the baseline if there
            is one.
        beside: an earlier report, as this function or `ntkspec.read_report` returns it. Its runs come first,
            as they are: nothing of them is computed again. A run whose file is in `paths` is replaced.
        drop: further ablations, each a set of roles or block names to leave out.
        baseline: label of the run to compare with; default: that of `beside`, or the only one called
            "baseline", if any.
        everywhere: further run files of the same networks at every pixel, as `ntkspec.train --everywhere`
            writes them, with which eigenfunctions are drawn; each belongs to the run of its label.
        kernels: folder to write every kernel to, in <run>-<snapshot id>.h5; see `ntkspec.write_kernels`.
        trial: read the files in another process first, as the command does; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.
        snapshot, check, samples, seed, alignment: see `ntkspec.run_settings.RunSettings`.
        method, k, outputs, backend, precision, memory: as for `ntkspec.spectrum`.

    Raises:
        NtkspecError: bad files or arguments; nothing is computed before every file was opened.

    Example:
        >>> report = analyze_runs("data/golden/mpe.h5", k=3, outputs=0)
        >>> report["MPE"]["init"].spectra["total"].resolved
        3
        >>> more = analyze_runs("data/golden/ffe.h5", k=3, outputs=0, beside=report)
        >>> [run.label for run in more]
        ['MPE', 'FFE']
    """
    settings = RunSettings(
        snapshot=snapshot,
        method=method,
        k=k,
        outputs=outputs,
        drop=tuple(map(tuple, drop)),
        backend=backend if isinstance(backend, str) else backend.name,
        precision=precision,
        memory=memory,
        check=check,
        samples=samples,
        seed=seed,
        alignment=alignment,
    )
    work = RunWork(settings, select(backend), progress or (lambda _: None), detail)
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    if not files:
        raise UsageError("analyze", expected="one or more run files", got="none", remedy="name a run file")
    earlier = _Earlier() if beside is None else _Earlier.of(beside, files, outputs)
    reports, reference = _reports(work, files, everywhere, earlier, baseline, kernels, trial)
    return assemble(reports, reference, work.engine.name)


@dataclass(frozen=True)
class _Earlier:
    """The runs of an earlier report."""

    runs: tuple[RunReport, ...] = ()
    baseline: str | None = None  # label of one of them

    @classmethod
    def of(cls, report: Report, files: Sequence[Path], outputs: Outputs) -> _Earlier:
        """Return the runs of a report whose files are not analysed again.

        Raises:
            UsageError: they were analysed in another output mode.
        """
        for run in report:
            if run.mode != outputs:
                raise UsageError(
                    f"beside: run {run.label!r}",
                    expected=f"kernels with outputs={outputs!r}, as the others will have them",
                    got=f"outputs={run.mode!r}",
                    remedy=f"analyse with outputs={run.mode!r}",
                )
        stale = {*sample_warnings(report.runs)}  # said again, of the runs that are there then
        again = {file.absolute() for file in files}
        runs = [
            replace(run, warnings=tuple(line for line in run.warnings if line not in stale))
            for run in report
            if Path(run.path).absolute() not in again
        ]
        kept = report.baseline if any(run.label == report.baseline for run in runs) else None
        return cls(tuple(runs), kept)


def _reports(
    work: RunWork,
    paths: Sequence[Path],
    everywhere: Sequence[str | os.PathLike[str]],
    earlier: _Earlier,
    baseline: str | None,
    kernels: str | os.PathLike[str] | None,
    trial: bool,
) -> tuple[list[RunReport], int | None]:
    """Open and check all files, then analyse the runs.

    Returns:
        The reports of all runs, earlier ones first, and which of them is the baseline.
    """
    settings = work.settings
    with contextlib.ExitStack() as stack:
        trials = stack.enter_context(contextlib.ExitStack())
        trials.enter_context(sandbox.server("ntkspec.store"))
        runs, further = (
            [stack.enter_context(open_run(path, memory=settings.memory, trial=trial)) for path in files]
            for files in (paths, everywhere)
        )
        every: list[RunReport | Run] = [*earlier.runs, *runs]
        labels = unique_labels([(run.label, Path(run.path)) for run in every])
        own = [run.label for run in every]
        reference = find_baseline(labels, own, [run.config for run in every], baseline or earlier.baseline)
        snapshots = [chosen(run, settings) for run in runs]
        ids = [[snap.id for snap in of_run] for of_run in snapshots]
        places: Sequence[Mapping[str, Path | None]] = [dict.fromkeys(of_run) for of_run in ids]
        if kernels is not None:
            places = stack.enter_context(kernel_files([run.path for run in runs], ids, Path(kernels)))
        pixels = match_everywhere(further, runs, ids, settings.outputs)
        for run in (*runs, *further):
            run.check_values()
        trials.close()
        count = len(earlier.runs)
        to_report = zip(runs, labels[count:], snapshots, places, pixels, strict=True)
        renamed = [replace(run, label=label) for run, label in zip(earlier.runs, labels, strict=False)]
        return [*renamed, *(work.report(*arguments) for arguments in to_report)], reference
