"""Take what a caller wants drawn: a report, a part of one, or results by name, and make a report of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from ntkspec.errors import UsageError, not_one_of, shown
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.through_training import kernels_of
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.eigenvalues import Spectrum

One: TypeAlias = RunReport | SnapshotReport | Spectrum | Alignment
What: TypeAlias = Report | One | Mapping[str, One]

_EXPECTED = "a report, one of its runs or snapshots, a Spectrum, an Alignment, or a dict of these by name"
_REMEDY = "ntkspec.analyze_runs makes a report of run files, ntkspec.spectrum a Spectrum of a Jacobian"


def as_report(what: object, where: str) -> Report:
    """Return a report of what came, with a run for each part that has a name.

    Args:
        what: see `What`.
        where: name of the function that was called, for errors.

    Raises:
        UsageError: something else.
    """
    if isinstance(what, Report):
        return what
    parts: Mapping[object, object] = what if isinstance(what, Mapping) else {None: what}
    runs = []
    for name, part in parts.items():
        run = _as_run(part)
        if run is None or not (name is None or isinstance(name, str)):
            got = part if name is None or run is None else name
            raise UsageError(where, expected=_EXPECTED, got=_kind(got), remedy=_REMEDY)
        runs.append(run if name is None else replace(run, label=str(name)))
    if not runs:
        raise UsageError(where, expected=_EXPECTED, got="an empty dict", remedy=_REMEDY)
    return Report("", "", "cpu", tuple(runs))


def at_end(report: Report) -> Report:
    """Return the report with the last snapshot of each run alone: that labelled "end", else the last one."""
    ends = (
        replace(
            run, snapshots=tuple(filter(None, [run.snapshot("end") or next(reversed(run.snapshots), None)]))
        )
        for run in report.runs
    )
    return replace(report, runs=tuple(ends))


def no_kernel(report: Report, kernel: str, where: str) -> UsageError:
    """Return the error for a kernel of which there is nothing to draw."""
    names = [*dict.fromkeys(name for run in report.runs for s in run.snapshots for name in s.spectra)]
    if kernel in names:
        return UsageError(where, expected=f"a kernel {kernel} above zero", got="one that is exactly zero")
    return not_one_of(f"{where}, kernel", kernel, names or kernels_of(report))


def _as_run(part: object) -> RunReport | None:
    if isinstance(part, RunReport):
        return part
    if isinstance(part, SnapshotReport):
        total = part.spectra.get("total")
        return RunReport("", part.label or part.id, total.size if total else 0, 1, "trace", (part,))
    if isinstance(part, Spectrum):
        return _as_run(SnapshotReport("", 0, "", {}, {"total": part}))
    if isinstance(part, Alignment):
        return _as_run(SnapshotReport("", 0, "", {}, {"total": part.spectrum}, alignments={"total": part}))
    return None


def _kind(value: object) -> str:
    """Return a short text for a value: a path or number as it is, of anything else the name of its type."""
    return shown(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
