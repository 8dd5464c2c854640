"""Write the report as report.json: format "ntkspec-report", version 1; `ntkspec.report.from_json` reads it.

NaN and Infinity are written as null. "comparisons" has an entry for each run and snapshot label that can be
compared with the baseline: kernels of the same samples, outputs and output mode. Files of version 1 stay
readable for ever: fields may be added, which are optional when read; none is removed or changes its meaning.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ntkspec.report.records import Comparison, ModePictures, Report, RunReport, SnapshotReport
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.report_values import number, numbers

FORMAT = "ntkspec-report"
VERSION = 1

MODES_FOR = (50, 90, 99)  # percent of the targets
_DEEPEST = 40  # nesting of a foreign config that is followed


def to_json(report: Report) -> dict[str, Any]:
    """Return the report as a tree of dicts, lists, strings, numbers, booleans and None.

    Example:
        >>> to_json(Report("2025-01-01T00:00:00Z", "ntkspec", "cpu", runs=()))["format"]
        'ntkspec-report'
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "created": report.created,
        "producer": report.producer,
        "backend": report.backend,
        "baseline": report.baseline,
        "runs": [run_to_json(run) for run in report.runs],
        "comparisons": [_comparison(comparison) for comparison in report.comparisons],
    }


def dumps(report: Report) -> str:
    """Return the text of report.json; "format" comes first, one run to a line."""
    tree = to_json(report)
    runs = ",\n".join(json.dumps(run, allow_nan=False) for run in tree.pop("runs"))
    comparisons = tree.pop("comparisons")
    head = json.dumps(tree, allow_nan=False)[:-1]
    return f'{head},\n"runs": [\n{runs}\n],\n"comparisons": {json.dumps(comparisons, allow_nan=False)}}}\n'


def plain(value: object, depth: int = 0) -> object:
    """Convert any value to JSON values: null for NaN and Infinity, strings as keys, text for other types."""
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, np.generic):
        return plain(value.item(), depth)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= _DEEPEST:
        return "..."
    if isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), depth)
    if isinstance(value, list | tuple):
        return [plain(item, depth + 1) for item in value]
    return str(value)


def rounded(value: float | None, digits: int) -> float | None:
    """Return a number as JSON holds it, rounded to one digit and this many after it."""
    return None if value is None else number(float(f"{value:.{digits}e}"))


def run_to_json(run: RunReport) -> dict[str, object]:
    """Return one run as it stands in report.json; `ntkspec.report.from_json.run_from_json` is the inverse."""
    return {
        "path": run.path,
        "label": run.label,
        "samples": run.samples,
        "outputs": run.outputs,
        "mode": run.mode,
        "size": run.size,
        "inputs": run.inputs,
        "digest": run.digest,
        "place": run.place,
        "snapshots": [_snapshot(snapshot) for snapshot in run.snapshots],
        "config": plain(run.config),
        "warnings": list(run.warnings),
        **({"origin": run.origin} if run.origin else {}),
    }


def _snapshot(snapshot: SnapshotReport) -> dict[str, object]:
    return {
        "id": snapshot.id,
        "step": snapshot.step,
        "label": snapshot.label,
        "metrics": plain(snapshot.metrics),
        "spectra": {name: spectrum.to_dict() for name, spectrum in snapshot.spectra.items()},
        "kernel_distance": {name: _distance(distance) for name, distance in snapshot.distances.items()},
        "alignment": {name: _alignment(alignment) for name, alignment in snapshot.alignments.items()},
        "no_alignment": snapshot.no_alignment,
        "eigenfunctions": _eigenfunctions(snapshot.eigenfunctions),
        "bounds": [_bound(bound) for bound in snapshot.bounds],
        "checks": [_check(check) for check in snapshot.checks],
    }


def _bound(checked: CheckedBound) -> dict[str, object]:
    bound = checked.bound
    return {
        "name": bound.name,
        "theorem": bound.theorem,
        "source": bound.source,
        "assumptions": bound.assumptions,
        "quantity": bound.quantity,
        "side": bound.side,
        "of": checked.of,
        "from": list(checked.sources),
        "values": numbers(bound.values),
        "holds": checked.holds,
        "vacuous": bound.vacuous,
        "certified": bound.certified,
        "tightness": {
            "lambda_min": number(checked.decades_min),
            "median": number(checked.decades_median),
            "unit": "decades",
        },
    }


def _distance(distance: KernelDistance) -> dict[str, object]:
    """Return the distance, 0 to 1, from the same kernel at the snapshot of that id, or null and why."""
    return {"value": number(distance.value), "from": distance.reference, "reason": distance.reason}


def _alignment(alignment: Alignment) -> dict[str, object]:
    """Return the shares of the modes of the spectrum of the same name, with all their digits."""
    return {
        "target": numbers(alignment.target),
        "rest": alignment.rest,
        "residual": None if alignment.residual is None else numbers(alignment.residual),
        "residual_rest": number(alignment.residual_rest),
        "kernel_target": number(alignment.kernel_target),
        "modes": {f"{share}%": alignment.modes(share / 100) for share in MODES_FOR},
    }


def _eigenfunctions(shown: ModePictures | None) -> list[dict[str, object]] | None:
    """Return modes of the total kernel, null if none were drawn; frequencies over whole pictures only."""
    if shown is None:
        return None
    numbers = zip(shown.modes, shown.eigenvalues, shown.frequencies, strict=True)
    return [
        {"mode": mode, "eigenvalue": number(value), "radial_frequency": number(cycles)}
        for mode, value, cycles in numbers
    ]


def _check(check: Check) -> dict[str, object]:
    return {
        "name": check.name,
        "statement": check.statement,
        "of": check.of,
        "worst": number(check.worst),
        "holds": check.holds,
    }


def _comparison(comparison: Comparison) -> dict[str, object]:
    return {
        "quantity": comparison.quantity,
        "of": comparison.of,
        "snapshot": comparison.snapshot,
        "run": comparison.run,
        "baseline": comparison.baseline,
        "decades": number(comparison.decades),
        "qualifier": comparison.qualifier,
    }
