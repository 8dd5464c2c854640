"""Turn a spectrum into plain values, as report.json and spectra.csv have them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.spectral.eigenvalues import Eigenvalues


def spectrum_to_dict(spectrum: Eigenvalues) -> dict[str, Any]:
    """Return the spectrum as it stands in report.json: numbers, texts, lists and dicts; None: not known."""
    return {
        "blocks": list(spectrum.blocks),
        "method": spectrum.method,
        "reason": spectrum.reason,
        "precision": spectrum.precision,
        "size": spectrum.size,
        "eigenvalues": numbers(np.maximum(spectrum.eigenvalues, 0.0)),
        "error": numbers(spectrum.error),
        "complete": spectrum.complete,
        "floor": number(spectrum.floor),
        "resolved": spectrum.resolved,
        "lambda_max": number(spectrum.lambda_max),
        "lambda_min": number(spectrum.lambda_min),
        "smallest_at_most": number(spectrum.smallest_at_most),  # of the eigenvalues that are here
        "condition": number(spectrum.condition),
        "trace": number(spectrum.trace),
        "trace_error": number(spectrum.trace_error),
        "effective_rank": number(spectrum.effective_rank),
        "stable_rank": number(spectrum.stable_rank),
        "rank": _rank(spectrum),
        "regions": _regions(spectrum),
    }


def _rank(spectrum: Eigenvalues) -> dict[str, object] | None:
    rank = spectrum.rank
    if rank is None:
        return None
    return {
        "at_most": rank.at_most,
        "reason": rank.reason,
        "singular": spectrum.singular,
        "refuted": spectrum.resolved > rank.at_most,
    }


def _regions(spectrum: Eigenvalues) -> dict[str, object] | None:
    """Return the rank of the network's kernel; stored eigenvalues beyond `independent` are <= `rest`."""
    regions = spectrum.regions
    if regions is None:
        return None
    return {
        "at_most": regions.at_most,
        "reason": regions.reason,
        "singular": spectrum.network_singular,
        "independent": regions.independent,
        "rest": number(regions.rest),
        "disobeying": list(regions.disobeying),
    }


def spectrum_columns(spectrum: Eigenvalues) -> dict[str, NDArray[np.generic]]:
    """Return the columns of spectra.csv that are the spectrum's own, each (m,), by name.

    `index` counts from 1. `resolved` is True for an eigenvalue that is a number, `zero` for an exact zero;
    where both are False the eigenvalue lies somewhere in [0, floor].
    """
    index = np.arange(1, len(spectrum.eigenvalues) + 1)
    at_most = spectrum.rank.at_most if spectrum.singular and spectrum.rank else len(index)
    return {
        "index": index,
        "eigenvalue": spectrum.eigenvalues,
        "error": spectrum.error,
        "resolved": spectrum.eigenvalues > spectrum.floor,
        "floor": np.full(len(index), spectrum.floor),
        "zero": index > at_most,
    }


def number(value: float | None) -> float | None:
    """Return a number as JSON can hold it: None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)


def numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Return the numbers of an array (m,) as JSON can hold them; see `number`."""
    return [number(value) for value in values.tolist()]
