"""Collect the texts of each run's details on the page: spectra, bounds, checks, configuration."""

from __future__ import annotations

import json

from ntkspec.display import counted
from ntkspec.qualities import quality_of, values_of
from ntkspec.report import words
from ntkspec.report.grouping import grouped
from ntkspec.report.names import at_step, kernel_names, named_snapshots
from ntkspec.report.records import RunReport, SnapshotReport
from ntkspec.report.style import StyledRun
from ntkspec.report.to_json import plain
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.record import Spectrum

_LONGEST_CONFIG = 20_000  # characters


def run_details(styled: StyledRun) -> dict[str, object]:
    """Return a dict of the values that the template uses for a run."""
    run = styled.run
    kernels, snapshots = kernel_names([run], 200), named_snapshots(run)
    config = json.dumps(plain(run.config), indent=2, ensure_ascii=False, allow_nan=False)
    return {
        "styled": styled,
        "run": run,
        "counts": counted(sample=run.samples, output=run.outputs),
        "mode": words.mode(run),
        "config": config[:_LONGEST_CONFIG] + ("\n..." if len(config) > _LONGEST_CONFIG else ""),
        "metrics": [(at_step(name, snapshot.step), _metrics(snapshot)) for name, snapshot in snapshots],
        "spectra": [
            {"snapshot": name, "kernel": kernels[kernel], **_spectrum(snapshot, kernel)}
            for name, snapshot in snapshots
            for kernel in snapshot.spectra
        ],
        "moved": any(snapshot.distances for snapshot in run.snapshots),
        "apart": _apart(run),
        "reasons": _reasons(run),
        "singular": _singular(run),
        "checks": _checks(run),
        "theorems": list(dict.fromkeys(_theorems(run))),
        "bounds": [
            {"snapshot": name, **_bound(checked, snapshot.spectra.get(checked.of))}
            for name, snapshot in snapshots
            for checked in snapshot.bounds
        ],
    }


def _metrics(snapshot: SnapshotReport) -> str:
    values = values_of(snapshot.metrics).items()
    return ", ".join(f"{quality_of(name).title} {quality_of(name).show(value)}" for name, value in values)


def _spectrum(snapshot: SnapshotReport, name: str) -> dict[str, object]:
    spectrum = snapshot.spectra[name]
    return {
        "step": snapshot.step,
        "distance": words.distance(snapshot, name),
        "resolved": words.resolved(spectrum),
        "lambda_max": words.lambda_max(spectrum),
        "lambda_min": words.lambda_min(spectrum),
        "floor": words.sci_up(spectrum.floor),
        "condition": words.condition(spectrum),
        "trace": words.sci(spectrum.trace),
        "effective_rank": words.rank(spectrum.effective_rank),
        "stable_rank": words.rank(spectrum.stable_rank),
        "method": words.method(spectrum),
    }


def _apart(run: RunReport) -> list[str]:
    """Return the reasons why kernels have no distance from the first snapshot, each once."""
    kernels = kernel_names([run], 40)
    return [
        f"No kernel distance: {reason} ({where})."
        for reason, where in words.gathered(
            run,
            (
                (distance.reason, kernels[kernel], name)
                for name, snapshot in named_snapshots(run, 40)
                for kernel, distance in snapshot.distances.items()
                if distance.value is None and kernel in kernels
            ),
        )
    ]


def _reasons(run: RunReport) -> list[str]:
    """Return why each method was chosen and why there is no alignment, with the kernels; each reason once."""
    kernels, snapshots = kernel_names([run], 40), named_snapshots(run, 40)
    reasons = [
        (f"Method {spectrum.method}: {spectrum.reason}", kernels[kernel], name)
        for name, snapshot in snapshots
        for kernel, spectrum in snapshot.spectra.items()
        if spectrum.reason
    ]
    reasons += [
        (f"It is not known where the target lies: {snapshot.no_alignment}", kernels["total"], name)
        for name, snapshot in snapshots
        if snapshot.no_alignment
    ]
    return [f"{reason} ({where})." for reason, where in words.gathered(run, reasons)]


def _singular(run: RunReport) -> list[str]:
    """Return which kernels are singular, as stored or for the network itself, and why."""
    kernels = kernel_names([run], 40)
    return [
        f"{kernels[kernel]} at {name}: {statement}."
        for name, snapshot in named_snapshots(run, 40)
        for kernel, spectrum in snapshot.spectra.items()
        if (statement := words.singular(spectrum) or words.network(spectrum))
    ]


def _checks(run: RunReport) -> list[dict[str, object]]:
    """Return each check once, with its worst case over snapshots and kernels."""
    by_name = grouped((check.name, check) for snapshot in run.snapshots for check in snapshot.checks)
    return [
        {
            "name": name,
            "statement": max(checks, key=lambda check: check.worst).statement,
            "count": len(checks),
            "worst": f"{max(check.worst for check in checks):.2g}",
            "holds": "holds" if all(check.holds for check in checks) else "FAILS",
        }
        for name, checks in by_name.items()
    ]


def _theorems(run: RunReport) -> list[str]:
    bounds = (checked for snapshot in run.snapshots for checked in snapshot.bounds)
    return [
        f"{words.theorem(b)}: {b.bound.theorem} ({b.bound.source}); {b.bound.assumptions}." for b in bounds
    ]


def _bound(checked: CheckedBound, spectrum: Spectrum | None) -> dict[str, object]:
    bound = checked.bound
    return {
        "name": words.theorem(checked),
        "side": bound.side,
        "of": checked.of,
        "sources": ", ".join(checked.sources),
        "holds": "holds" if checked.holds else words.held(checked, spectrum) if spectrum else "FAILS",
        "failed": not checked.holds,
        "says": words.limit_of_lambda_min(checked) or "vacuous",
        "certified": bound.certified,
        "decades": "-" if checked.decades_min is None else f"{checked.decades_min:.2f}",
        "median": "-" if checked.decades_median is None else f"{checked.decades_median:.2f}",
    }
