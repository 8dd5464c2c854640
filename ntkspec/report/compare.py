"""Compare runs: whose lambda_min is larger, by how many decades, and how far that is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.report.data import Comparison, Qualifier, RunReport
from ntkspec.report.names import apart, look, numbered
from ntkspec.spectral import Spectrum
from ntkspec.store.texts import storable


def unique_labels(runs: Sequence[tuple[str, Path]]) -> list[str]:
    """A label for every run: its own, its file's name if it has none, with the file's name if not unique."""
    stems = [storable(path.stem) for _, path in runs]
    own = [storable(label).strip() or stem for (label, _), stem in zip(runs, stems, strict=True)]
    return apart(own, lambda i: numbered(f"{own[i]} [{stems[i]}]"))


def find_baseline(
    labels: Sequence[str], own: Sequence[str], configs: Sequence[Mapping[str, Any]], wanted: str | None
) -> int:
    """Which run to compare with, by position: the wanted one, else "baseline", else the first.

    Args:
        labels: as in the report, where no two are alike.
        own: as the files have them; one that a single run has names it, too.
        configs: of the runs.
        wanted: a label, or None.
    """
    if wanted is None:
        named = [
            i
            for i, config in enumerate(configs)
            if config.get("preset") == "baseline" or "baseline" in (look(own[i]), look(labels[i]))
        ]
        return (named or [0])[0]
    found = _of_look(wanted, labels) or _of_look(wanted, own)
    if len(found) != 1:
        choice = labels if not found else [labels[i] for i in found]
        raise UsageError(
            "--baseline",
            expected=f"one of {', '.join(choice)}",
            got=f"{wanted!r}{', which they share' if found else ''}",
            remedy="name one of these",
        )
    return found[0]


def compare_runs(runs: Sequence[RunReport], baseline: int) -> tuple[Comparison, ...]:
    """lambda_min of every other run over the baseline's, for each snapshot label that both have.

    Args:
        runs: each with a label of its own.
        baseline: position of the run that the others are compared with.
    """
    reference = runs[baseline]
    comparisons = []
    decades: float | None
    qualifier: Qualifier
    for run in (run for i, run in enumerate(runs) if i != baseline):
        for label in dict.fromkeys(snap.label for snap in run.snapshots):
            mine, theirs = run.snapshot(label), reference.snapshot(label)
            if mine is None or theirs is None:
                continue
            decades, qualifier = None, "unresolved"
            if (run.samples, run.outputs) == (reference.samples, reference.outputs):
                decades, qualifier = decades_between(mine.spectra["total"], theirs.spectra["total"])
            comparisons.append(Comparison("total", label, run.label, reference.label, decades, qualifier))
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


def _of_look(wanted: str, labels: Sequence[str]) -> list[int]:
    return [i for i, label in enumerate(labels) if look(label) == look(wanted)]
