"""Print all snapshots: a table of spectra and the bounds of each run, then the runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from ntkspec.qualities import QUALITIES
from ntkspec.report import words
from ntkspec.report.grouping import grouped
from ntkspec.report.names import kernel_names, named_snapshots, short
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.style import styled_runs
from ntkspec.report.summary import certified_note, comparison_table
from ntkspec.report.terminal_columns import Column, alike, print_columns, print_line, with_rows, written
from ntkspec.report.thinning import few
from ntkspec.spectral.record import Spectrum

_LETTERS = 16  # of a snapshot's name
_SHOWN = ("theorem1", "weyl_lower", "weyl_upper")  # bounds with a line of their own
_THOROUGH = ("additivity", "symmetry", "tiles", "routes")  # checks that are made when asked for


def print_details(report: Report, console: Console) -> None:
    """Print a table of all snapshots and the bounds of each run, then the runs side by side at each of them.

    Columns that do not fit are left out, the least important first; report.json has them all.
    """
    runs = styled_runs(report)
    tables = [_spectra_columns(styled.run) for styled in runs]
    filled = {column.title for table in tables for column in table if column.filled}
    shown = [[column for column in table if column.title in filled] for table in tables]
    tables = alike(shown, console.width)
    names = written([styled.name for styled in runs], 40, console)
    for styled, name, columns in zip(runs, names, tables, strict=True):
        _print_run(styled.run, name, columns, console)
    if len(report.runs) > 1:
        _print_comparison(report, console)
    if _has_unresolved(report):
        print_line(console, words.LEGEND, style="dim")
    if note := certified_note(report):
        print_line(console, note, style="dim")


def _print_run(run: RunReport, name: str, columns: Sequence[Column], console: Console) -> None:
    mode = "" if run.outputs == 1 else f", outputs {run.outputs} ({words.mode(run)})"
    title = Text(name, style="bold")
    title.append(f"  n = {run.samples}{mode}, kernel {run.size} x {run.size}", style="not bold dim")
    console.print(title, highlight=False)
    print_columns(console, columns)
    for line in (*_bound_lines(run), *_left_out(run)):
        print_line(console, line, indent=2)
    console.print()


def _spectra_columns(run: RunReport) -> list[Column]:
    columns = [
        Column("snapshot", 0),
        Column("step", 3, "right"),
        Column("kernel", 0),
        Column("N", 7, "right"),
        Column("resolved", 0, "right"),
        Column("lambda_max", 1, "right"),
        Column("lambda_min", 0, "right"),
        Column("modes", 2, "right"),
        Column("condition", 2, "right"),
        Column("eff. rank", 4, "right"),
        Column("distance", 5, "right"),
        Column("stable rank", 6, "right"),
        Column("method", 8),
    ]
    kernels, told = kernel_names([run], 20), {name for name, _ in _told(run)}
    rows = [
        (name, str(snap.step), kernels[kernel], *_spectrum_cells(snap, kernel, spectrum))
        for name, snap in named_snapshots(run, _LETTERS)
        for kernel, spectrum in snap.spectra.items()
        if kernel == "total" or name in told  # see `_left_out`
    ]
    return with_rows(columns, rows)


def _told(run: RunReport) -> list[tuple[str, SnapshotReport]]:
    """Return the snapshots to show with all their kernels, by name; of many only the first and the last."""
    named = named_snapshots(run, _LETTERS)
    return named if len(named) <= words.MANY else [named[0], named[-1]]


def _left_out(run: RunReport) -> Iterator[str]:
    """Return a note on what is not shown of a run with many snapshots."""
    count = len(run.snapshots) - len(_told(run))
    if count:
        names = kernel_names([run], 20)
        further = ", ".join(names[name] for name in names if name != "total")
        kernels = f"kernels {further} and their bounds" if further else "bounds and ranks"
        yield f"{count} snapshots between: {kernels} are on the page and in report.json"


def _spectrum_cells(snapshot: SnapshotReport, kernel: str, spectrum: Spectrum) -> tuple[str, ...]:
    aligned = snapshot.alignments.get(kernel)
    return (
        str(spectrum.size),
        words.resolved(spectrum),
        words.largest(spectrum),
        words.lambda_min(spectrum),
        words.modes(aligned) if aligned else "",
        words.condition(spectrum),
        words.rank(spectrum.effective_rank),
        words.distance(snapshot, kernel),
        words.rank(spectrum.stable_rank),
        words.method(spectrum),
    )


def _bound_lines(run: RunReport) -> Iterator[str]:
    """Yield lines on the bounds of a run.

    They state the singular kernels, the paper's theorem, Weyl's inequality and the certified bounds. Of other
    bounds they state only how many hold.
    """
    yield from _singular_lines(run)
    by_bound = grouped(
        (
            (words.theorem(b), b.of),
            (name, words.held(b, snapshot.spectra[b.of]), words.limit_of_lambda_min(b)),
        )
        for name, snapshot in _told(run)
        for b in snapshot.bounds
        if b.bound.name in _SHOWN and b.of in snapshot.spectra
    )
    kernels = kernel_names([run], 20)
    for (theorem, of), statements in by_bound.items():
        yield _bound_line(theorem, of, kernels[of], statements)
    yield from _certified_lines(run)
    bounds = [checked for snapshot in run.snapshots for checked in snapshot.bounds]
    others = [b for b in bounds if b.bound.name not in _SHOWN and not b.bound.certified]
    holding = {b.bound.name for b in others} - {b.bound.name for b in others if not b.holds}
    vacuous = holding - {b.bound.name for b in others if not b.bound.vacuous}
    if holding:
        few = f", {len(vacuous)} of them say nothing of lambda_min" if vacuous else ""
        yield f"{len(holding)} further bounds hold{few}; the page and report.json have them"
    if checks := thorough(run):
        yield checks


def thorough(run: RunReport) -> str:
    """Return the result of checks by a second computation; "" if none was asked for, or if none holds."""
    checks = [check for snapshot in run.snapshots for check in snapshot.checks if check.holds]
    if not any(check.name in _THOROUGH for check in checks):
        return ""
    names = ", ".join(dict.fromkeys(check.name for check in checks))
    worst = max(check.worst for check in checks if check.name in _THOROUGH)
    return f"Checks hold: {names}; at most {worst:.1%} of what rounding allows where computed twice"


def _singular_lines(run: RunReport) -> Iterator[str]:
    """Yield lines: which kernels are singular, as stored or for the network itself, and why; each once."""
    kernels = kernel_names([run], 20)
    places = grouped(
        (f"{kernels[kernel]}: {statement}", name)
        for name, snapshot in _told(run)
        for kernel, spectrum in snapshot.spectra.items()
        if (statement := words.singular(spectrum) or words.network(spectrum))
    )
    yield from (f"{', '.join(where)}: {statement}" for statement, where in places.items())


def _certified_lines(run: RunReport) -> Iterator[str]:
    """Yield "certified: 9.3e-04 <= lambda_min <= 9.5e-04 (end)"; one line a kernel."""
    enclosures = grouped(
        (kernel, (name, words.enclosure(both)))
        for name, snapshot in _told(run)
        for kernel, both in grouped((b.of, b) for b in snapshot.bounds if b.bound.certified).items()
        if any(b.bound.values[0] > 0 for b in both if b.bound.side == "lower")
        or not words.singular(snapshot.spectra[kernel])
    )
    for kernel, pairs in enclosures.items():
        head = "certified" if kernel == "total" else f"certified (of {kernel_names([run], 20)[kernel]})"
        yield f"{head}: {_by_snapshot(pairs, always=True)}"


def _bound_line(name: str, of: str, shown: str, statements: Sequence[tuple[str, str, str]]) -> str:
    """Return a line: a bound's name, its kernel, and the result at each snapshot, equal results once."""
    head = name if of == "total" else f"{name} (of {shown})"
    verdict = _by_snapshot([(snapshot, verdict) for snapshot, verdict, _ in statements])
    if not any(limit for _, _, limit in statements):
        return f"{head} {verdict}; says nothing about lambda_min (vacuous)"
    limits = _by_snapshot([(snapshot, limit or "vacuous") for snapshot, _, limit in statements], always=True)
    return f"{head} {verdict}; lambda_min {limits}"


def _by_snapshot(statements: Sequence[tuple[str, str]], *, always: bool = False) -> str:
    """Return "x (init, mid), y (end)"; only "x" if it holds at all snapshots, unless `always`."""
    names = grouped((text, snapshot) for snapshot, text in statements)
    if len(names) == 1 and not always:
        return next(iter(names))
    return ", ".join(f"{text} ({', '.join(dict.fromkeys(where))})" for text, where in names.items())


def _print_comparison(report: Report, console: Console) -> None:
    table = comparison_table(report)
    columns = [Column("run", 0)]
    columns += [Column(QUALITIES[name].title, 2 + i, "right") for i, name in enumerate(table.qualities)]
    columns.append(Column("lambda_min", 1, "right"))
    # The last compared snapshot matters most, the first least; of many also first and middle.
    last = len(table.snapshots) - 1
    marked = few(last + 1, 3) if last >= words.MANY else []
    columns += [
        Column(label, 0 if i == last else 4 if i in marked else 4 + last - i, "right")
        for i, label in enumerate(short(table.snapshots, 12))
    ]
    names = written([row.run.short for row in table.rows], 28, console)
    rows = [
        (name, *row.qualities, row.lambda_min, *row.course)
        for row, name in zip(table.rows, names, strict=True)
    ]
    title = Text("Comparison", style="bold")
    baselines = [name for row, name in zip(table.rows, names, strict=True) if row.run.name == table.baseline]
    if table.snapshots:
        title.append(
            f"  last columns: decades of lambda_min over {(*baselines, 'the reference')[0]}, by snapshot",
            style="not bold dim",
        )
    console.print(title, highlight=False)
    columns = with_rows(columns, rows)
    left_out = print_columns(console, columns)
    missing = sum(column in left_out for column in columns[len(columns) - len(table.snapshots) :])
    if missing and len(table.snapshots) > words.MANY:
        told = f"decades at {missing} more snapshots are on the page and in report.json"
        print_line(console, told, style="dim", indent=2)
    console.print()


def _has_unresolved(report: Report) -> bool:
    return any(
        words.is_unresolved(spectrum)
        for run in report.runs
        for snapshot in run.snapshots
        for spectrum in snapshot.spectra.values()
    )
