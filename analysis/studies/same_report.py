"""Do two reports of the same run files say the same? What differs in any digit is listed.

    python analysis/studies/same_report.py before.json after.json

For changes that are to add no number: run `python -m ntkspec.analyze RUNS --json FILE` with the code before
and after, then this. Exit code 0: verdicts, methods, reasons, resolved counts and ranks are equal, and every
number is within the errors that both reports state; 1: something is not, and is said first.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ntkspec import read_report
from ntkspec.report.records import Report, SnapshotReport
from ntkspec.spectral import Spectrum


@dataclass(frozen=True)
class Difference:
    """Something that two reports say differently."""

    where: str
    what: str
    matters: bool  # a verdict, or a number that is off by more than both reports allow


def differences(before: Report, after: Report) -> Iterator[Difference]:
    """Yield everything that differs, run by run and snapshot by snapshot."""
    labels = [[run.label for run in report.runs] for report in (before, after)]
    if labels[0] != labels[1]:
        yield Difference("runs", f"{labels[0]} and {labels[1]}", True)
        return
    for run, other in zip(before.runs, after.runs, strict=True):
        for one, two in zip(run.snapshots, other.snapshots, strict=True):
            yield from _of_snapshot(f"{run.label}, {one.id}", one, two)
    verdicts = [[(c.run, c.snapshot, c.qualifier) for c in report.comparisons] for report in (before, after)]
    if verdicts[0] != verdicts[1]:
        yield Difference("comparisons", "other qualifiers", True)
    for left, right in zip(before.comparisons, after.comparisons, strict=False):
        if left.decades != right.decades:
            apart = abs((left.decades or 0.0) - (right.decades or 0.0))
            where = f"{left.run}, {left.snapshot}"
            yield Difference(where, f"decades apart by {apart:.1e}", apart > 1e-3)


def _of_snapshot(where: str, before: SnapshotReport, after: SnapshotReport) -> Iterator[Difference]:
    if [*before.spectra] != [*after.spectra]:
        yield Difference(where, f"spectra {[*before.spectra]} and {[*after.spectra]}", True)
        return
    for name, spectrum in before.spectra.items():
        yield from _of_spectrum(f"{where}, {name}", spectrum, after.spectra[name])
    said = [[(b.bound.name, b.of, b.holds, b.bound.vacuous) for b in one.bounds] for one in (before, after)]
    if said[0] != said[1]:
        yield Difference(where, "bounds: others, or other verdicts", True)
    for left, right in zip(before.bounds, after.bounds, strict=False):
        apart = _apart(left.bound.values, right.bound.values)
        if apart:
            yield Difference(f"{where}, bound {left.bound.name} of {left.of}", _said(apart), apart > 1e-6)
    checks = [[(check.name, check.of, check.holds) for check in one.checks] for one in (before, after)]
    if checks[0] != checks[1]:
        yield Difference(where, "checks: others, or other verdicts", True)


def _of_spectrum(where: str, before: Spectrum, after: Spectrum) -> Iterator[Difference]:
    for name in ("method", "reason", "size", "resolved", "singular", "network_singular", "complete", "rank"):
        one, two = getattr(before, name), getattr(after, name)
        if one != two:
            yield Difference(where, f"{name}: {one} and {two}", True)
    known = [(r.at_most, r.reason, r.independent, r.disobeying) if (r := s.regions) else None
             for s in (before, after)]  # fmt: skip
    if known[0] != known[1]:
        yield Difference(where, f"regions: {known[0]} and {known[1]}", True)
    off = np.abs(before.eigenvalues - after.eigenvalues)
    if off.any():
        allowed = before.error + after.error
        worst = float(np.max(off / np.maximum(allowed, np.finfo(float).tiny)))
        text = f"eigenvalues: {np.count_nonzero(off)} of {len(off)}, at most {worst:.1e} of the stated errors"
        yield Difference(where, text, worst > 1)
    for name in ("error", "floor", "trace", "smallest_at_most"):
        apart = _apart(getattr(before, name), getattr(after, name))
        if apart:
            yield Difference(where, f"{name}: {_said(apart)}", apart > 1e-6)


def _apart(before: float | NDArray[np.float64], after: float | NDArray[np.float64]) -> float:
    """The largest relative difference; NaN and infinities count where they differ."""
    one, two = np.atleast_1d(before), np.atleast_1d(after)
    if one.shape != two.shape:
        return math.inf
    same = (one == two) | (np.isnan(one) & np.isnan(two))
    one, two = one[~same], two[~same]
    if not (np.isfinite(one) & np.isfinite(two)).all():
        return math.inf
    return float(np.max(np.abs(one - two) / np.maximum(np.abs(one), np.abs(two)), initial=0.0))


def _said(apart: float) -> str:
    return f"apart by {apart:.1e} of the value"


def main() -> int:
    """Compare two files; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    asked = parser.parse_args()
    before, after = read_report(asked.before), read_report(asked.after)
    found = sorted(differences(before, after), key=lambda difference: not difference.matters)
    for difference in found:
        print(f"{'MATTERS ' if difference.matters else ''}{difference.where}: {difference.what}")
    spectra = sum(len(snapshot.spectra) for run in before.runs for snapshot in run.snapshots)
    matter = sum(difference.matters for difference in found)
    print(f"{spectra} spectra; {len(found)} differences in some digit, {matter} that matter")
    return 1 if matter else 0


if __name__ == "__main__":
    sys.exit(main())
