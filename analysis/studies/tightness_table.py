"""How tight every bound is on the six presets of the demo, at the start, the middle and the end.

Reads the run files and the report of `make demo`; writes the tables "tightness" and "exact" of
docs/method.md. Run after `make demo`: `python analysis/studies/tightness_table.py demo`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from tables import markdown, put

import ntkspec
from ntkspec.report.records import SnapshotReport
from ntkspec.report.words import sci, sci_down, sci_up

RUNS = ("baseline", "ffe-low", "ffe-medium", "ffe-high", "mpe-coarse", "mpe-fine")
RATE = 10.0  # learning rate of the last layer, or of the grid, over that of the rest
Cells = dict[str, list[str]]  # bound -> one cell a snapshot


def decades(smallest: float | None, median: float | None) -> str:
    """From lambda_min, the median in brackets; a dash where the bound or the eigenvalue is not positive."""
    first = "-" if smallest is None else f"{smallest:.2f}"
    return first if median is None else f"{first} ({median:.2f})"


def reported(snapshot: SnapshotReport, cells: Cells) -> None:
    """Every bound of the report."""
    for checked in snapshot.bounds:
        bound = checked.bound
        name = bound.name if checked.of == "total" else f"{bound.name} of {checked.of}"
        median = checked.decades_median if bound.quantity == "eigenvalue" else None
        said = decades(checked.decades_min, median) if checked.holds else "BROKEN"
        cells.setdefault(name, []).append(said)


def learning_rates(snapshot: ntkspec.Snapshot, cells: Cells) -> None:
    """Ostrowski: one group ten times faster, against the spectrum of the kernel scaled so."""
    jacobian = snapshot.jacobian.load()
    group = "grid" if "grid" in jacobian.roles else jacobian.names[-1]
    total, faster = ntkspec.spectrum(jacobian), ntkspec.spectrum(jacobian.scaled({group: RATE}))
    for bound in (
        ntkspec.bounds.ostrowski_lower(total, 1.0),
        ntkspec.bounds.ostrowski_upper(total, RATE),
    ):
        tight = bound.tightness(faster)
        known = tight[np.isfinite(tight)]
        said = decades(float(tight[-1]) if np.isfinite(tight[-1]) else None, float(np.median(known)))
        cells.setdefault(bound.name, []).append(said if bound.holds(faster) else "BROKEN")


def smallest(spectrum: ntkspec.Spectrum) -> str:
    """lambda_min, or what is known of it."""
    if spectrum.singular and spectrum.rank:
        return f"0: rank <= {spectrum.rank.at_most}"
    if spectrum.lambda_min is not None:
        return sci(spectrum.lambda_min)
    known = spectrum.regions if spectrum.network_singular else None
    network = f"; the network's rank <= {known.at_most}" if known else ""
    return f"unresolved (<= {sci_up(spectrum.smallest_at_most)}){network}"


def certified(snapshot: SnapshotReport, of: str) -> str:
    """The certified enclosure of a kernel's lambda_min."""
    bounds = [checked.bound for checked in snapshot.bounds if checked.bound.certified and checked.of == of]
    sides = {bound.side: float(bound.values[0]) for bound in bounds}
    return f"{sci_down(sides['lower'])} to {sci_up(sides['upper'])}" if sides else "-"


def main(folder: Path) -> None:
    """Read, compute what the report has not, write both tables."""
    report = ntkspec.read_report(folder / "report" / "report.json")
    runs = {Path(run.path).stem: run for run in report.runs}
    columns: list[Cells] = []
    exact = []
    for name in RUNS:
        cells: Cells = {}
        with ntkspec.open_run(folder / f"{name}.h5") as file:
            for snapshot in runs[name].snapshots:
                reported(snapshot, cells)
                learning_rates(file.snapshot(snapshot.id), cells)
                total = snapshot.spectra["total"]
                enclosures = certified(snapshot, "total"), certified(snapshot, "grid")
                count = f"{total.resolved} of {total.size}"
                exact.append([f"{name}, {snapshot.label}", count, smallest(total), *enclosures])
        columns.append(cells)
        print(name, flush=True)
    names = list(dict.fromkeys(bound for cells in columns for bound in cells))
    rows = [[bound, *(" / ".join(cells.get(bound, ["-"])) for cells in columns)] for bound in names]
    put("tightness", markdown(["bound", *RUNS], rows))
    head = ["run, snapshot", "resolved", "lambda_min", "certified", "certified, of the grid's kernel"]
    put("exact", markdown(head, exact))
    if any("BROKEN" in cell for row in rows for cell in row):
        raise SystemExit("a bound is broken; see docs/method.md")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
