"""Analyse a run file as `python -m ntkspec.analyze` does, and reduce the result to a few kB."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ntkspec.population.made_by import made_by
from ntkspec.population.outcomes import Curve, Outcome, Stage, indices
from ntkspec.report.records import SnapshotReport
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.spectral import Spectrum
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.store import open_run

DIGITS = 5  # of every number that is kept


def outcome(run_file: Path) -> Outcome:
    """Analyse every snapshot of a run file as `python -m ntkspec.analyze` does, and return its outcome."""
    run = analyze_run(run_file, RunSettings(backend="cpu"))
    return Outcome(
        item=run_file.parent.name,
        name=run_file.stem,
        label=run.label,
        config={key: value for key, value in run.config.items() if key != "training"},
        samples=run.samples,
        parameters=_parameters(run_file),
        stages={snapshot.label: _stage(snapshot) for snapshot in run.snapshots},
        made=made_by(),
    )


def _parameters(run_file: Path) -> int:
    """Count the parameters of the last snapshot."""
    with open_run(run_file) as run:
        return sum(math.prod(block.widths) for block in run.snapshots[-1].jacobian)


def _stage(snapshot: SnapshotReport) -> Stage:
    enclosure = [b.bound for b in snapshot.bounds if b.bound.certified and b.of == "total"]
    sides = {bound.side: float(bound.values[0]) for bound in enclosure}
    return Stage(
        step=snapshot.step,
        metrics={name: short(value) for name, value in snapshot.metrics.items()},
        spectra={name: curve_of(spectrum) for name, spectrum in snapshot.spectra.items()},
        lower={
            b.bound.name: short(b.bound.values[-1])
            for b in snapshot.bounds
            if b.of == "total" and b.bound.side == "lower" and math.isfinite(b.bound.values[-1])
        },
        certified=(sides["lower"], sides["upper"]) if len(sides) == 2 else None,
        slack=_slack(snapshot.spectra),
        bounds=len(snapshot.bounds),
        broken=tuple(_broken(snapshot.bounds))
        + tuple(f"{check.name} of {check.of}" for check in snapshot.checks if not check.holds),
    )


def curve_of(spectrum: Spectrum) -> Curve:
    """Reduce a spectrum to a few of its eigenvalues; see `Curve`.

    Eigenvalues beyond a proved upper bound on the rank, of the stored numbers or of the network's kernel,
    become 0.
    """
    claims = [spectrum.rank, spectrum.regions if spectrum.network_singular else None]
    limit = min((claim.at_most for claim in claims if claim), default=spectrum.size)
    values = [
        short(spectrum.eigenvalues[i - 1]) if i <= spectrum.resolved else 0.0 if i > limit else None
        for i in indices(spectrum.size)
    ]
    smallest = 0.0 if limit < spectrum.size else spectrum.lambda_min
    return Curve(
        values=tuple(values),
        size=spectrum.size,
        resolved=spectrum.resolved,
        floor=short(spectrum.floor if smallest else min(spectrum.floor, spectrum.smallest_at_most)),
        lambda_max=None if spectrum.lambda_max is None else short(spectrum.lambda_max),
        lambda_min=None if smallest is None else short(smallest),
        rank_at_most=limit,
        trace=short(spectrum.trace),
        effective_rank=None if spectrum.effective_rank is None else short(spectrum.effective_rank),
        method=spectrum.method,
    )


def _slack(spectra: Mapping[str, Spectrum]) -> dict[str, float] | None:
    """Return by how many decades eigenvalues exceed their lower bounds, those without the grid's gradients.

    This is log10 of lambda_i(total) / lambda_i(no_grid) at all i at which both are resolved: the least, the
    median, the share of those below 0.01, and how many there are. Return None if there are none.
    """
    if "no_grid" not in spectra:
        return None
    total, no_grid = spectra["total"], spectra["no_grid"]
    both = slice(0, min(total.resolved, no_grid.resolved))
    if not both.stop:
        return None
    decades = np.log10(total.eigenvalues[both] / no_grid.eigenvalues[both])
    share = float(np.mean(decades < 0.01))
    return {
        "least": short(decades.min()),
        "median": short(np.median(decades)),
        "share": short(share),
        "compared": both.stop,
    }


def _broken(bounds: Iterable[CheckedBound]) -> list[str]:
    return [f"{checked.bound.name} of {checked.of}" for checked in bounds if not checked.holds]


def short(value: float) -> float:
    """Round to `DIGITS` significant digits."""
    return float(f"{float(value):.{DIGITS}g}")
