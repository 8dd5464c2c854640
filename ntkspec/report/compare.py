"""Compare runs: whose lambda_min is larger, by how many decades, and how far that is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.report.data import Comparison, Qualifier, RunReport
from ntkspec.spectral import Spectrum


def unique_labels(runs: Sequence[tuple[str, Path]]) -> list[str]:
    """A label for every run: its own, its file's name if it has none, with the file's name if not unique."""
    labels = [label.strip() or path.stem for label, path in runs]
    counts = Counter(labels)
    labels = [
        label if counts[label] == 1 else f"{label} [{path.stem}]"
        for label, (_, path) in zip(labels, runs, strict=True)
    ]
    seen: Counter[str] = Counter()
    unique = []
    for label in labels:
        seen[label] += 1
        unique.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return unique


def find_baseline(labels: Sequence[str], configs: Sequence[Mapping[str, Any]], wanted: str | None) -> str:
    """The label of the run to compare with: the wanted one, else "baseline", else the first."""
    if wanted is None:
        named = [
            label
            for label, config in zip(labels, configs, strict=True)
            if config.get("preset") == "baseline" or label.lower() == "baseline"
        ]
        return (named or list(labels))[0]
    if wanted not in labels:
        raise UsageError(
            "--baseline", expected=f"one of {', '.join(labels)}", got=repr(wanted), remedy="name one of these"
        )
    return wanted


def compare_runs(runs: Sequence[RunReport], baseline: str) -> tuple[Comparison, ...]:
    """lambda_min of every other run over the baseline's, for each snapshot label that both have."""
    reference = next(run for run in runs if run.label == baseline)
    comparisons = []
    decades: float | None
    qualifier: Qualifier
    for run in runs:
        for label in dict.fromkeys(snap.label for snap in run.snapshots):
            mine, theirs = run.snapshot(label), reference.snapshot(label)
            if run.label == baseline or mine is None or theirs is None:
                continue
            decades, qualifier = None, "unresolved"
            if (run.samples, run.outputs) == (reference.samples, reference.outputs):
                decades, qualifier = decades_between(mine.spectra["total"], theirs.spectra["total"])
            comparisons.append(Comparison("total", label, run.label, baseline, decades, qualifier))
    return tuple(comparisons)


def decades_between(spectrum: Spectrum, baseline: Spectrum) -> tuple[float | None, Qualifier]:
    """log10 of lambda_min(spectrum) / lambda_min(baseline), with what is known of it.

    Where one side is unresolved, what it is at most stands in, or its floor where it is exactly zero, and the
    result is a bound that allows for the stated errors of both; where both are, or where not all eigenvalues
    were computed, nothing is known.
    """
    if not (spectrum.complete and baseline.complete):
        return None, "unresolved"
    mine, theirs = spectrum.lambda_min, baseline.lambda_min
    if mine and theirs:
        return math.log10(mine) - math.log10(theirs), "="
    if mine and spectrum.lower[-1] > 0 and baseline.floor > 0:
        return math.log10(spectrum.lower[-1]) - math.log10(_at_most(baseline)), ">="
    if theirs and baseline.lower[-1] > 0 and spectrum.floor > 0:
        return math.log10(_at_most(spectrum)) - math.log10(baseline.lower[-1]), "<="
    return None, "unresolved"


def _at_most(other: Spectrum) -> float:
    """What a smallest eigenvalue is at most that is no number, its stated error included."""
    return other.floor if other.singular else other.smallest_at_most
