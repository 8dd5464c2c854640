"""Make the table of all runs that terminal and page show first, and the notes below it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ntkspec.qualities import QUALITIES, show, values_of
from ntkspec.report import words
from ntkspec.report.headline import ranking
from ntkspec.report.names import clean, named_snapshots, run_names, short
from ntkspec.report.records import NO_TARGETS, NOT_ASKED, Comparison, Report, SnapshotReport
from ntkspec.report.style import StyledRun, reference, styled_runs
from ntkspec.report.targets import held_out_differ


@dataclass(frozen=True)
class ComparisonRow:
    """One run beside the others, at the end of training."""

    run: StyledRun
    qualities: tuple[str, ...]  # one for each of the table's
    modes: str  # how many hold 90% of the target; "-" where the run file has no target
    lambda_min: str  # of the total kernel
    decades: str  # of lambda_min over the reference's; "-" where there is none, or its own is exactly zero
    # The same at each compared snapshot; `words.REFERENCE` in the reference's own row.
    course: tuple[str, ...]


@dataclass(frozen=True)
class ComparisonTable:
    """All runs side by side."""

    baseline: str | None  # the reference's name, if there is one
    snapshots: tuple[str, ...]  # names of the compared snapshots, in order of training; of `course`
    qualities: tuple[str, ...]  # metrics, of `ntkspec.qualities`, that a run has at the end
    rows: tuple[ComparisonRow, ...]

    @property
    def aligned(self) -> bool:
        """Return whether some run has a number of modes."""
        return any(row.modes != "-" for row in self.rows)

    @property
    def compared(self) -> bool:
        """Return whether some run has decades over the reference's."""
        return any(row.decades not in ("-", words.REFERENCE) for row in self.rows)


def comparison_table(report: Report) -> ComparisonTable:
    """Return the table as text: runs, metrics, modes, lambda_min, and decades over the reference's."""
    totals = [comparison for comparison in report.comparisons if comparison.of == "total"]
    labels = _in_order(report, {comparison.snapshot for comparison in totals})
    runs = styled_runs(report)
    ends = [values_of(run.end.metrics) for run in runs if run.end]
    qualities = tuple(name for name in QUALITIES if any(name in end for end in ends))
    rows = tuple(_row(styled, report, totals, labels, qualities) for styled in runs)
    baseline = reference(report)
    return ComparisonTable(baseline.name if baseline else None, short(labels, 40), qualities, rows)


def failures(report: Report) -> tuple[str, ...]:
    """Return one warning for each bound and each check that does not hold."""
    return tuple(
        f"{run_name}, {name}: {what}; the run file or this program is wrong"
        for run_name, run in zip(run_names(report, 200), report.runs, strict=True)
        for name, snapshot in named_snapshots(run, 200)
        for what in _failures(snapshot)
    )


def _failures(snapshot: SnapshotReport) -> Iterator[str]:
    for checked in snapshot.bounds:
        if not checked.holds and checked.of in snapshot.spectra:
            yield words.bound(checked, snapshot.spectra[checked.of])
    for check in snapshot.checks:
        if not check.holds:
            yield f"of {clean(check.of, 20)} it should be so that {check.statement}, and it is not"


def notes(report: Report) -> tuple[str, ...]:
    """Return notes on what the table leaves out and what its numbers do not show, for this report."""
    return (*filter(None, (singular_baseline(report), _modes_note(report))), *warned(report))


def warned(report: Report) -> tuple[str, ...]:
    """Return notes on metrics that do not compare, or that lambda_min does not foretell."""
    apart = held_out_differ(report.runs)
    held_out = "The runs held out different pixels: PSNRs of these do not compare." if apart else ""
    return tuple(filter(None, (held_out, ranking(report))))


def _modes_note(report: Report) -> str:
    """Return a note: what a number of modes means, or why it was not computed; "" if neither applies."""
    ends = [run.end for run in styled_runs(report) if run.end]
    if any(run.alignment() for run in styled_runs(report)):
        return words.MODES + "."
    reasons = dict.fromkeys(end.no_alignment for end in ends if end.no_alignment)
    unasked = (NO_TARGETS, NOT_ASKED, "--alignment never leaves it out")  # the last in reports of 0.2.0
    return next((f"modes: not computed, {reason}." for reason in reasons if reason not in unasked), "")


def certified_note(report: Report) -> str:
    """Return a note on what "certified" means; "" if the report has no certified bounds."""
    bounds = (b.bound for run in report.runs for snapshot in run.snapshots for b in snapshot.bounds)
    return words.CERTIFIED if any(bound.certified for bound in bounds) else ""


def singular_baseline(report: Report) -> str:
    """Return a note that there are no decades if lambda_min of the reference is exactly zero; else ""."""
    baseline = reference(report)
    if baseline is None:
        return ""
    compared = {comparison.snapshot for comparison in report.comparisons if comparison.of == "total"}
    zero = [
        name
        for name, snapshot in named_snapshots(baseline.run, 40)
        if snapshot.label in compared and snapshot.spectra["total"].singular
    ]
    if not zero:
        return ""
    where = "" if len(zero) == len(compared) else f" ({', '.join(zero)})"
    return f"lambda_min of {baseline.name} is exactly zero{where}: there is no ratio to it."


def _row(
    styled: StyledRun,
    report: Report,
    totals: list[Comparison],
    labels: tuple[str, ...],
    qualities: tuple[str, ...],
) -> ComparisonRow:
    end = styled.end
    metrics = end.metrics if end else {}
    total, aligned = styled.spectrum(), styled.alignment()
    is_baseline = styled.run.label == report.baseline
    decades = {c.snapshot: _decades(c, report) for c in totals if c.run == styled.run.label}
    return ComparisonRow(
        run=styled,
        qualities=tuple(show(metrics, name) for name in qualities),
        modes=words.modes(aligned) if aligned else "-",
        lambda_min=words.lambda_min(total) if total else "-",
        decades=words.REFERENCE if is_baseline else decades.get(end.label if end else "", "-"),
        course=tuple(words.REFERENCE if is_baseline else decades.get(label, "-") for label in labels),
    )


def _decades(comparison: Comparison, report: Report) -> str:
    """Return decades as text: "not computed" if eigenvalues are missing, "-" if the reference's is zero."""
    labels = (comparison.run, comparison.baseline)
    snapshots = {run.label: run.snapshot(comparison.snapshot) for run in report.runs if run.label in labels}
    both = (snapshots.get(label) for label in labels)
    mine, theirs = (snapshot.spectra.get(comparison.of) if snapshot else None for snapshot in both)
    text = words.decades(comparison)
    if theirs and theirs.singular:
        return "-"
    if text == words.UNRESOLVED and any(s and words.state(s) == "not computed" for s in (mine, theirs)):
        return words.NOT_COMPUTED
    return text


def _in_order(report: Report, labels: set[str]) -> tuple[str, ...]:
    """Return the labels in order of the training steps at which they first occur."""
    steps: dict[str, int] = {}
    for run in report.runs:
        for snapshot in run.snapshots:
            if snapshot.label in labels:
                steps[snapshot.label] = min(steps.get(snapshot.label, snapshot.step), snapshot.step)
    return tuple(sorted(labels, key=lambda label: (steps.get(label, 0), label)))
