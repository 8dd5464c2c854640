"""The report in a few sentences and one table: what the terminal and the page say first."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ntkspec.report import words
from ntkspec.report.names import run_names, short
from ntkspec.report.records import Comparison, Report, RunReport, SnapshotReport
from ntkspec.report.style import StyledRun, styled_runs
from ntkspec.spectral.eigenvalues import Spectrum


@dataclass(frozen=True)
class ComparisonRow:
    """One run beside the baseline."""

    run: StyledRun
    qualities: tuple[str, ...]  # at the end, one for each of the table's
    lambda_min: str  # of the total kernel, at the end
    decades: tuple[str, ...]  # one for each compared snapshot; "baseline" in the baseline's own row


@dataclass(frozen=True)
class ComparisonTable:
    """Every run beside the baseline."""

    baseline: str | None  # its name
    snapshots: tuple[str, ...]  # names of the compared snapshots, in order of training
    qualities: tuple[str, ...]  # metrics, of `words.QUALITIES`, that a run has at the end
    rows: tuple[ComparisonRow, ...]


def comparison_table(report: Report) -> ComparisonTable:
    """Runs, qualities, smallest eigenvalues and their decades over the baseline's, as displayed."""
    totals = [comparison for comparison in report.comparisons if comparison.of == "total"]
    labels = _in_order(report, {comparison.snapshot for comparison in totals})
    runs = styled_runs(report)
    known = {name for run in runs if run.end for name in run.end.metrics}
    qualities = tuple(name for name in words.QUALITIES if name in known)
    rows = tuple(_row(styled, report, totals, labels, qualities) for styled in runs)
    baseline = next((styled.name for styled in runs if styled.run.label == report.baseline), None)
    return ComparisonTable(baseline, short(labels, 40), qualities, rows)


def last_first(table: ComparisonTable) -> ComparisonTable:
    """The table with the end of training first, where there are more snapshots than a screen is wide."""
    if len(table.snapshots) <= words.MANY:
        return table
    rows = tuple(replace(row, decades=row.decades[::-1]) for row in table.rows)
    return replace(table, snapshots=table.snapshots[::-1], rows=rows)


def failures(report: Report) -> tuple[str, ...]:
    """One warning for each bound and each check that does not hold."""
    names = run_names(report, 200)
    return tuple(
        f"{name}, {words.snapshot_name(run, snapshot, 200)}: {what}; the run file or this program is wrong"
        for name, run in zip(names, report.runs, strict=True)
        for snapshot in run.snapshots
        for what in _failures(snapshot)
    )


def _failures(snapshot: SnapshotReport) -> Iterator[str]:
    for checked in snapshot.bounds:
        if not checked.holds and checked.of in snapshot.spectra:
            yield words.bound(checked, snapshot.spectra[checked.of])
    for check in snapshot.checks:
        if not check.holds:
            yield f"of {words.clean(check.of, 20)} it should be so that {check.statement}, and it is not"


def headline(report: Report) -> tuple[str, ...]:
    """What the numbers say, in sentences computed from them."""
    runs = tuple(run for run in styled_runs(report) if run.end is not None and "total" in run.end.spectra)
    if not runs:
        return ("The report has no spectra.",)
    compared = _compared_at_end(report, runs)
    if not compared:
        lead = next((run for run in runs if run.kind == "mpe"), runs[0])
        return tuple(sentence for sentence in (_alone(lead), _without_grid([lead])) if sentence)
    top = _largest(compared)
    if top is None:
        return (
            "No run's smallest eigenvalue is known to lie above the baseline's "
            f"({_name(compared[0].baseline, runs)}).",
            *_unresolved_runs(runs),
        )
    run = next(run for run in runs if run.run.label == top.run)
    sentences = (_against(run, top, runs), _without_grid(runs), _quality(top, runs), ranking(report))
    return (*(sentence for sentence in sentences if sentence), *_unresolved_runs(runs))


def ranking(report: Report) -> str:
    """What lambda_min does not say, where the run with the largest one is not the best; else ""."""
    runs = tuple(run for run in styled_runs(report) if run.end is not None)
    top = _largest(_compared_at_end(report, runs))
    quality = {run.run.label: score for score, run in _scores(runs)[1]}
    if top is None or top.run not in quality or max(quality.values()) <= quality[top.run]:
        return ""
    return words.RANKING + "."


def certified_note(report: Report) -> str:
    """What "certified" means, where the report has such bounds; else ""."""
    bounds = (b.bound for run in report.runs for snapshot in run.snapshots for b in snapshot.bounds)
    return words.CERTIFIED + "." if any(bound.certified for bound in bounds) else ""


def singular_baseline(report: Report) -> str:
    """What decades over a baseline mean whose lambda_min is zero at some compared stage; else ""."""
    stages = {comparison.snapshot for comparison in report.comparisons if comparison.decades is not None}
    baseline = next((run for run in report.runs if run.label == report.baseline), None)
    compared = [] if baseline is None else [baseline.snapshot(label) for label in stages]
    zero = any(snapshot is not None and snapshot.spectra["total"].singular for snapshot in compared)
    return words.SINGULAR_BASELINE + "." if zero else ""


def _row(
    styled: StyledRun,
    report: Report,
    totals: list[Comparison],
    labels: tuple[str, ...],
    qualities: tuple[str, ...],
) -> ComparisonRow:
    end = styled.end
    metrics = end.metrics if end else {}
    total = end.spectra.get("total") if end else None
    is_baseline = styled.run.label == report.baseline
    found = {c.snapshot: _decades(c, report) for c in totals if c.run == styled.run.label}
    return ComparisonRow(
        run=styled,
        qualities=tuple(words.metric(metrics, name) for name in qualities),
        lambda_min=words.lambda_min(total) if total else "-",
        decades=tuple("baseline" if is_baseline else found.get(label, "-") for label in labels),
    )


def _decades(comparison: Comparison, report: Report) -> str:
    """In words; "not computed" where one of both spectra stops short of its smallest eigenvalue."""
    both = [run for run in report.runs if run.label in (comparison.run, comparison.baseline)]
    snapshots = [run.snapshot(comparison.snapshot) for run in both]
    spectra = [snapshot.spectra.get(comparison.of) for snapshot in snapshots if snapshot]
    text = words.decades(comparison)
    if spectra and all(spectrum is not None and spectrum.singular for spectrum in spectra):
        return words.BOTH_ZERO
    baseline = next((run for run in both if run.label == comparison.baseline), None)
    reference = baseline.snapshot(comparison.snapshot) if baseline else None
    if comparison.qualifier == ">=" and reference and reference.spectra[comparison.of].singular:
        return words.INFINITE
    if text == words.UNRESOLVED and any(s and words.lambda_min(s) == words.NOT_COMPUTED for s in spectra):
        return words.NOT_COMPUTED
    return text


def _in_order(report: Report, labels: set[str]) -> tuple[str, ...]:
    """The labels in order of the training steps at which they first occur."""
    steps: dict[str, int] = {}
    for run in report.runs:
        for snapshot in run.snapshots:
            if snapshot.label in labels:
                steps[snapshot.label] = min(steps.get(snapshot.label, snapshot.step), snapshot.step)
    return tuple(sorted(labels, key=lambda label: (steps.get(label, 0), label)))


def _compared_at_end(report: Report, runs: tuple[StyledRun, ...]) -> list[Comparison]:
    """The comparisons of total kernels at each run's last stage."""
    ends = {run.run.label: run.end.label for run in runs if run.end}
    return [
        comparison
        for comparison in report.comparisons
        if comparison.of == "total"
        and comparison.run != comparison.baseline
        and comparison.snapshot == ends.get(comparison.run)
    ]


def _largest(compared: Sequence[Comparison]) -> Comparison | None:
    """The comparison whose smallest eigenvalue is known to lie furthest above the baseline's."""
    above = [c for c in compared if c.decades is not None and c.decades > 0 and c.qualifier in ("=", ">=")]
    return max(above, key=lambda comparison: comparison.decades or 0.0, default=None)


def _scores(runs: Sequence[StyledRun]) -> tuple[str, list[tuple[float, StyledRun]]]:
    """PSNR, or IoU where no run has that: the metric's name, and who reached what at the end.

    Where all runs have pixels that they did not learn, it is the PSNR of those.
    """
    ends = [(run.end.metrics, run) for run in runs if run.end]
    held_out = ["psnr_db_held_out"] if all("psnr_db_held_out" in metrics for metrics, _ in ends) else []
    for name in (*held_out, "psnr_db", "iou"):
        values = [(metrics.get(name, math.nan), run) for metrics, run in ends]
        if scores := [(value, run) for value, run in values if math.isfinite(value)]:
            return name, scores
    return "", []


def _name(label: str, runs: Sequence[StyledRun]) -> str:
    return next((run.name for run in runs if run.run.label == label), words.clean(label, 40))


def _against(run: StyledRun, comparison: Comparison, runs: tuple[StyledRun, ...]) -> str:
    others = (other for other in runs if other.run.label == comparison.baseline)
    text = words.decades(comparison)
    ratio = text.removeprefix("= ").replace(">=", "at least")
    name = _name(comparison.baseline, runs)
    head = f"{_when(run)}, the smallest eigenvalue of the tangent kernel of {run.name} is {_total_min(run)}"
    sentence = f"{head}, {ratio} decades above that of {name}"
    baseline = next(others, None)
    if baseline is None:
        return sentence + "."
    spectrum = _total(baseline)
    if spectrum is not None and words.singular(spectrum):
        return f"{head}; the kernel of {name} is {words.singular(spectrum)}."
    is_number = spectrum is not None and spectrum.lambda_min is not None
    return f"{sentence}, which is {'' if is_number else 'itself '}{_total_min(baseline)}."


def _alone(run: StyledRun) -> str:
    spectrum = _total(run)
    if spectrum is None:
        return ""
    if words.is_zero(spectrum):
        return f"{_when(run)}, the kernel of {run.name} is exactly zero: no parameter has a gradient."
    head = f"{_when(run)}, {spectrum.resolved} of {spectrum.size} eigenvalues of {run.name} are resolved"
    if words.singular(spectrum):
        return f"{head}; the kernel is {words.singular(spectrum)}."
    if words.network(spectrum):
        return f"{head}; {words.network(spectrum)}."
    if spectrum.lambda_min is not None:
        return f"{head}: from {words.lambda_max(spectrum)} down to {words.lambda_min(spectrum)}."
    if not spectrum.complete and not words.is_unresolved(spectrum):
        return f"{head}; only the largest {len(spectrum.eigenvalues)} were computed."
    return f"{head}; the smallest is {words.lambda_min(spectrum)}."


def _without_grid(runs: Sequence[StyledRun]) -> str:
    """The ablation of the last run that has one (runs go from coarse to fine)."""
    for run in reversed(runs):
        spectrum, total = run.end.spectra.get("no_grid") if run.end else None, _total(run)
        if spectrum is None or total is None or not total.lambda_min:
            continue
        text = words.lambda_min(spectrum)
        if text != words.NOT_COMPUTED:
            return (
                f"The smallest eigenvalue of {run.name} is {words.lambda_min(total)}; leave the gradients of "
                f"its grid's parameters out, the grid itself still in the forward pass, and it is {text}."
            )
    return ""


def _quality(comparison: Comparison, runs: tuple[StyledRun, ...]) -> str:
    """Which run draws best: not always the one whose smallest eigenvalue is the largest."""
    name, quality = _scores(runs)
    baseline = next((run for _, run in quality if run.run.label == comparison.baseline), None)
    if baseline is None:
        return ""
    _, best = max(quality, key=lambda pair: pair[0])
    others = [run for _, run in quality if run.run.label == comparison.run]
    reached = [f"{run.name} {_reached(run, name)}" for run in (*others, baseline) if run is not best]
    title = words.QUALITIES[name]
    sentence = f"The best reconstruction is that of {best.name}, {_reached(best, name)} {title}"
    return f"{sentence}; {', '.join(reached)}." if reached else f"{sentence}."


def _reached(run: StyledRun, metric: str) -> str:
    return words.metric(run.end.metrics if run.end else {}, metric)


def _unresolved_runs(runs: tuple[StyledRun, ...]) -> tuple[str, ...]:
    count = sum(1 for run in runs if (spectrum := _total(run)) is not None and words.is_unresolved(spectrum))
    if not count:
        return ()
    which = "every run" if count == len(runs) else f"{count} of {len(runs)} runs"
    return (f"The smallest eigenvalue of {which} lies below what rounding lets anyone see.",)


def _when(run: StyledRun) -> str:
    snapshot: SnapshotReport | None = run.end
    if snapshot is None or snapshot.label == "end":
        return "At the end of training"
    owner: RunReport = run.run
    return f"At snapshot {words.snapshot_name(owner, snapshot, 40)}"


def _total(run: StyledRun) -> Spectrum | None:
    return run.end.spectra.get("total") if run.end else None


def _total_min(run: StyledRun) -> str:
    spectrum = _total(run)
    return words.NOT_COMPUTED if spectrum is None else words.lambda_min(spectrum)
