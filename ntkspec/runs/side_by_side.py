"""Analyse run files side by side, and return their report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from ntkspec import sandbox
from ntkspec._version import PRODUCER
from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.functions import as_function
from ntkspec.backend import Backend, Choice, Precision, select
from ntkspec.errors import UsageError, named_path, shown
from ntkspec.jacobian import Outputs
from ntkspec.machine.file_sign import place_of
from ntkspec.report.compare import assemble, find_baseline, sample_warnings, unique_labels
from ntkspec.report.places import kernel_files
from ntkspec.report.records import Report, RunReport
from ntkspec.runs.analysis import RunWork, chosen
from ntkspec.runs.everywhere import OPTION as EVERYWHERE
from ntkspec.runs.everywhere import match_everywhere
from ntkspec.runs.settings import RunSettings, When, digest, draw
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
    drop: str | Sequence[str | Sequence[str]] = (),
    baseline: str | None = None,
    backend: Choice | Backend = "auto",
    precision: Precision = "float64",
    memory: float | None = None,
    check: bool = False,
    samples: int | None = None,
    seed: int = 0,
    alignment: When = "auto",
    everywhere: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    kernels: str | os.PathLike[str] | None = None,
    trial: bool = False,
    progress: Progress | None = None,
    detail: Progress | None = None,
) -> Report:
    """Return spectra, ablations, bounds and comparisons of run files.

    For one file alone `ntkspec.runs.analysis.analyze_run` does the same.

    Args:
        paths: a run file, or several, which stand side by side and are compared with the baseline if there
            is one.
        beside: an earlier report, as this function or `ntkspec.read_report` returns it. Its runs come first,
            as they are: nothing of them is computed again. One of the same file and samples as one of `paths`
            is replaced, and a warning of the new report says so. A file is told by its place and, if this
            package wrote it, by its content: a copy or a moved file is the same one.
        drop: further ablations, each a role or the name of a block to leave out, or several of them.
        baseline: label of the run to compare with; default: that of `beside`, or the only one called
            "baseline", if any.
        everywhere: a further run file of the same network at every pixel, as `ntkspec.train --everywhere`
            writes it, or several, with which eigenfunctions are drawn; each belongs to the run of its label.
        kernels: folder to write every kernel to, in <run>-<snapshot id>.h5; see `ntkspec.write_kernels`.
        trial: read the files in another process first, as the command does; see `ntkspec.open_run`.
        progress: called with a line for every step of the work.
        detail: called with the lines of the memory plan, before anything is allocated.
        snapshot, check, samples, seed, alignment: see `ntkspec.runs.settings.RunSettings`.
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
    tell = None if detail is None else as_function(detail, "detail")
    engine = select(backend)
    settings = RunSettings(
        snapshot=snapshot,
        method=method,
        k=None if k is None else whole_number(k, "⟦-k⟧", 1),
        outputs=outputs,
        drop=_ablations(drop),
        backend=backend if isinstance(backend, str) else engine.name,
        precision=precision,
        memory=memory,
        check=check,
        samples=samples,
        seed=seed,
        alignment=alignment,
    )
    work = RunWork(settings, engine, as_function(progress, "progress"), tell)
    files, pixels = _as_paths(paths), _as_paths(everywhere)
    _require_distinct(files)
    if pixels:
        settings.require_vectors(EVERYWHERE)
    earlier = () if beside is None else _earlier_runs(beside, outputs, work.engine.name)
    wanted: str | RunReport | None = baseline
    if baseline is None and beside is not None and beside.baseline is not None:
        wanted = earlier[beside.runs.index(beside[beside.baseline])]
    reports, reference = _reports(work, files, pixels, earlier, wanted, kernels, trial)
    return assemble(reports, reference, work.engine.name)


def _as_paths(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Return the paths of one file or of several; raise `UsageError` for what is no path."""
    if isinstance(given, str | bytes | os.PathLike) or not isinstance(given, Iterable):
        return [named_path(given)]
    return [named_path(path) for path in given]


def _require_distinct(files: Sequence[Path]) -> None:
    """Raise `UsageError` if there is no run file, or one occurs twice."""
    if not files:
        raise UsageError("analyze", expected="one or more run files", got="none", remedy="name a run file")
    places = [os.path.realpath(file) for file in files]  # Path.resolve raises at links to themselves
    for i, file in enumerate(files):
        if places[i] in places[:i]:
            raise UsageError("analyze", expected="each run file once", got=f"{file} twice")


def _ablations(drop: str | Sequence[str | Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the words of each ablation, which name what it leaves out; raise `UsageError` for none."""
    given = [drop] if isinstance(drop, str) else drop
    try:
        ablations = tuple((words,) if isinstance(words, str) else tuple(words) for words in given)
    except TypeError:
        ablations = ((),)
    if any(not words or not all(isinstance(word, str) for word in words) for words in ablations):
        raise UsageError(
            "⟦--drop⟧",
            expected="words, each a role or the name of a block, or lists of them",
            got=shown(drop),
            remedy="e.g. ['grid', ['level.0', 'level.1']]",
        )
    return ablations


def _earlier_runs(report: Report, outputs: Outputs, backend: str) -> tuple[RunReport, ...]:
    """Return the runs of an earlier report, each with its origin if that differs from what is computed now.

    Raises:
        UsageError: it is no report, or its runs were analysed in another output mode.
    """
    if not isinstance(report, Report):
        raise UsageError(
            "⟦--beside⟧",
            expected="a report",
            got=shown(report),
            remedy="ntkspec.read_report reads a report.json",
        )
    for run in report:
        if run.mode != outputs:
            raise UsageError(
                f"⟦--beside⟧: run {run.label!r}",
                expected=f"kernels with ⟦--outputs={outputs}⟧, as the others will have them",
                got=repr(run.mode),
                remedy=f"analyse with ⟦--outputs={run.mode}⟧",
            )
    same = (report.producer, report.backend) == (PRODUCER, backend)
    origin = "" if same else f"{report.producer} on the {report.backend}"
    stale = {*chain(*sample_warnings(report.runs))}  # said again, of the runs that are there then
    return tuple(
        replace(
            run,
            warnings=tuple(line for line in run.warnings if line not in stale),
            origin=run.origin or origin,
        )
        for run in report
    )


def _reports(
    work: RunWork,
    paths: Sequence[Path],
    everywhere: Sequence[Path],
    earlier: Sequence[RunReport],
    baseline: str | RunReport | None,
    kernels: str | os.PathLike[str] | None,
    trial: bool,
) -> tuple[list[RunReport], int | None]:
    """Open and check all files, then analyse the runs.

    Returns:
        The reports of all runs, earlier ones first, and which of them is the baseline.
    """
    settings = work.settings
    with contextlib.ExitStack() as stack:
        with sandbox.server():
            runs, further = (
                [stack.enter_context(open_run(path, memory=settings.memory, trial=trial)) for path in files]
                for files in (paths, everywhere)
            )
            replaced = [_same_runs(run, earlier, settings) for run in runs]
            gone = {*chain(*replaced)}
            kept = [before for before in earlier if before not in gone]
            every: list[RunReport | Run] = [*kept, *runs]
            labels = unique_labels([(run.label, Path(run.path)) for run in every])
            if isinstance(baseline, RunReport):  # of the earlier report, here or replaced
                were = [*([before] for before in kept), *replaced]
                reference: int | None = next(i for i, befores in enumerate(were) if baseline in befores)
            else:
                reference = find_baseline(
                    labels, [run.label for run in every], [run.config for run in every], baseline
                )
            snapshots = [chosen(run, settings) for run in runs]
            ids = [[snap.id for snap in of_run] for of_run in snapshots]
            places: Sequence[Mapping[str, Path]] = [{}] * len(runs)
            if kernels is not None:
                folder = named_path(kernels, "a folder")
                places = stack.enter_context(kernel_files([run.path for run in runs], ids, folder))
            pixels = match_everywhere(further, runs, ids, settings.outputs)
            for run in (*runs, *further):
                run.check_values()
        to_report = zip(runs, labels[len(kept) :], snapshots, places, pixels, strict=True)
        renamed = [replace(run, label=label) for run, label in zip(kept, labels, strict=False)]
        made = [work.report(*arguments) for arguments in to_report]
        return [*renamed, *map(_with_note, made, replaced)], reference


def _same_runs(run: Run, earlier: Sequence[RunReport], settings: RunSettings) -> list[RunReport]:
    """Return the earlier runs that came from the same file, with the same samples."""
    place = place_of(run.path)
    there = [before for before in earlier if _place(before) == place]
    if not there and run.digest is not None:  # it may have been moved
        there = [before for before in earlier if before.digest == run.digest]
    if not there:
        return []
    samples = digest(run.inputs[draw(run.samples, settings)])
    return [before for before in there if before.inputs in (None, samples)]


def _place(run: RunReport) -> str:
    """Return the place of an earlier run's file; the paths of version 0.2.0 are from the present folder."""
    return run.place or place_of(run.path)


def _with_note(run: RunReport, replaced: Sequence[RunReport]) -> RunReport:
    """Return the run with a warning if it replaces earlier ones."""
    if not replaced:
        return run
    gone = ", ".join(dict.fromkeys(before.path for before in replaced))
    line = f"{run.path}: analysed again; the earlier result of {gone} is left out"
    return replace(run, warnings=(*run.warnings, line))
