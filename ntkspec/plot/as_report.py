"""Take what a caller wants drawn: a report, a part of one, or results by name, and make a report of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from ntkspec.errors import UsageError, not_one_of, shown
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.record import Spectrum

Part: TypeAlias = RunReport | SnapshotReport | Spectrum | Alignment
What: TypeAlias = Report | Part | Mapping[str, Part]

_EXPECTED = "a report, one of its runs or snapshots, a Spectrum, an Alignment, or a dict of these by name"
_REMEDY = "ntkspec.analyze_runs makes a report of run files, ntkspec.spectrum a Spectrum of a Jacobian"


def as_report(what: object, where: str) -> Report:
    """Return a report of what came: of a dict, a run for each name; of a part without a name, a run without.

    Args:
        what: see `What`.
        where: name of the function that was called, for errors.

    Raises:
        UsageError: something else.

    Example:
        >>> as_report({"a": SnapshotReport("0", 0, "init", {}, {})}, "plot").runs[0].label
        'a'
        >>> as_report("run.h5", "plot")
        Traceback (most recent call last):
        ntkspec.errors.UsageError: plot: expected a report, one of its runs or snapshots, a Spectrum, an \
Alignment, or a dict of these by name, got 'run.h5'; ntkspec.analyze_runs makes a report of run files, \
ntkspec.spectrum a Spectrum of a Jacobian
    """
    if isinstance(what, Report):
        report = what
    elif isinstance(what, Mapping):
        runs = (replace(_as_run(part, where), label=str(name)) for name, part in what.items())
        report = Report("", "", "cpu", tuple(runs))
    else:
        report = Report("", "", "cpu", (_as_run(what, where),))
    if not any(run.snapshots for run in report.runs):
        raise UsageError(where, expected=_EXPECTED, got=f"an empty {type(what).__name__}", remedy=_REMEDY)
    return report


def check_kernel(kernel: object, where: str) -> None:
    """Raise `UsageError` unless this is the name of one kernel, whether there is one or not."""
    if not isinstance(kernel, str):
        raise UsageError(
            f"{where}, kernel",
            expected="the name of a kernel, such as 'no_grid'",
            got=shown(kernel),
            remedy="call it for each of several, on the same axes",
        )


def at_end(report: Report) -> Report:
    """Return the report with only the snapshot at the end of each run."""
    runs = (replace(run, snapshots=() if run.end is None else (run.end,)) for run in report)
    return replace(report, runs=tuple(runs))


def no_kernel(report: Report, kernel: str, where: str) -> UsageError:
    """Return the error for a kernel of which there is nothing to draw."""
    names = dict.fromkeys(name for run in report.runs for snap in run.snapshots for name in snap.spectra)
    if kernel in names:
        return UsageError(where, expected=f"a kernel {kernel} above zero", got="one that is exactly zero")
    return not_one_of(f"{where}, kernel", kernel, names)


def _as_run(part: object, where: str) -> RunReport:
    """Return the run, or a run of the single snapshot, spectrum or alignment."""
    match part:
        case RunReport():
            return part
        case SnapshotReport():
            # Of samples and outputs nothing is drawn.
            return RunReport("", part.label or part.id, 0, 1, "trace", (part,))
        case Spectrum():
            snapshot = SnapshotReport("", 0, "", {}, {"total": part})
        case Alignment():
            snapshot = SnapshotReport("", 0, "", {}, {"total": part.spectrum}, alignments={"total": part})
        case _:
            raise UsageError(where, expected=_EXPECTED, got=shown(part), remedy=_REMEDY)
    return _as_run(snapshot, where)
