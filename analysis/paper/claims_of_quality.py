"""What the paper claims of quality and of the order of encodings: (d), (e), (h) and (i)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.paper.drawing import NAMES
from analysis.paper.ratios import decades
from analysis.paper.sweeps import FEATURES, fourier, multigrid
from analysis.paper.tables import curves, metrics, stages
from analysis.paper.verdicts import (
    FFES,
    MPES,
    OVER_BASELINE,
    OVER_FFE,
    Part,
    Population,
    at_least,
    opposite,
)
from ntkspec.population.outcomes import known_range

METRICS = ("psnr_db", "ms_ssim")
DOUBLING_DB = 0.5  # a doubling of frequency or resolution that gains less has saturated
STABLE = 0.8  # Kendall's tau between an item's order and that of all others

# What is doubled, the runs before and after, whether that should gain little.
DOUBLINGS: list[tuple[tuple[str, ...], tuple[str, str], bool]] = [
    *(
        (
            ("FFE", f"{features} frequencies", f"sigma {sigma} to {2 * sigma}"),
            (fourier(sigma, features), fourier(2 * sigma, features)),
            True,
        )
        for features, sigma in product(FEATURES, (8, 16))
    ),
    *(
        (("MPE", f"finest {finest} to {2 * finest}"), (multigrid(finest), multigrid(2 * finest)), False)
        for finest in (48, 96, 192)
    ),
]
SWEPT = {name for _, names, _ in DOUBLINGS for name in names}

Ranges = NDArray[np.float64]  # (..., 2): between what each score lies


def quality_over_baseline(pictures: Population) -> Iterator[Part | str]:
    """Weigh (d)."""
    for name, metric in product(MPES, METRICS):
        yield _gain(pictures, name, ["baseline"], "baseline", metric, OVER_BASELINE[metric])
    yield from _ceiling(pictures, "baseline", OVER_BASELINE["ms_ssim"])


def quality_over_fourier(pictures: Population) -> Iterator[Part | str]:
    """Weigh (e)."""
    others = [*(([name], NAMES[name]) for name in FFES), ([*FFES], "the best FFE")]
    for name, metric, (names, title) in product(MPES, METRICS, others):
        yield _gain(pictures, name, names, title, metric, OVER_FFE[metric])
    for name in FFES:
        yield from _ceiling(pictures, name, OVER_FFE["ms_ssim"])


def _ceiling(pictures: Population, name: str, claimed: float) -> Iterator[str]:
    """Yield on how many pictures no network could gain so much, since MS-SSIM ends at 1; if there are any."""
    ends = stages(pictures.runs[name])
    above = sum(stage.metrics.get("ms_ssim", 0.0) > 1 - claimed for stage in ends)
    if above:
        yield (
            f"MS-SSIM ends at 1, and that of {NAMES[name]} is above {1 - claimed:.2f} on {above} of "
            f"{len(ends)} pictures: no network gains {claimed} there"
        )


def _gain(
    study: Population, name: str, others: Sequence[str], title: str, metric: str, claimed: float
) -> Part:
    """Weigh a metric of a preset over the best of the others, picture by picture."""
    unit = "dB" if metric == "psnr_db" else "MS-SSIM"
    setting = (NAMES[name], f"over {title}", unit)
    if not stages(study.runs).map(lambda stage: metric in stage.metrics).all(axis=None):
        return Part(setting, "not measured on all of them", None)
    scores = metrics(study.runs, metric)
    found = study.mean(scores[name] - scores[others].max(axis=1))
    return Part(setting, f"{found} {unit}", at_least(found, claimed))


def saturation(sweeps: Population) -> Iterator[Part | str]:
    """Weigh (h)."""
    scores, spectra = metrics(sweeps.runs, "psnr_db"), curves(sweeps.runs)
    for setting, (before, after), saturates in DOUBLINGS:
        gain = sweeps.mean(scores[after] - scores[before])
        lifted, _ = sweeps.median(spectra[after].combine(spectra[before], decades), " decades")
        much = at_least(gain, DOUBLING_DB)
        yield Part(setting, f"{gain} dB; lambda_min {lifted}", opposite(much) if saturates else much)


def stability(pictures: Population, meshes: Population) -> Iterator[Part | str]:
    """Weigh (i)."""
    tried = (("lambda_min", pictures), ("lambda_min", meshes), ("PSNR", pictures), ("IoU", meshes))
    scores = {(kind, study.domain): _ranges(study, kind) for kind, study in tried}
    for kind, study in tried:
        rows = scores[kind, study.domain]
        apart = (np.delete(rows, i, axis=0) for i in range(len(rows)))
        others = [np.median(rest, axis=0) for rest in apart] if len(rows) > 1 else []
        order = f": {_order(np.median(rows, axis=0))}"
        yield _agreement((kind, study.domain), study, rows, others, order)
    for kind, other in (("lambda_min", "lambda_min"), ("IoU", "PSNR")):
        rows, middle = scores[kind, "meshes"], np.median(scores[other, "pictures"], axis=0)
        against = "pictures" if kind == other else f"{other} of pictures"
        yield _agreement((kind, f"meshes against {against}"), meshes, rows, [middle] * len(rows))


def _ranges(study: Population, kind: str) -> Ranges:
    """Return what orders are of, (items, presets, 2): a number twice, or between what lambda_min lies."""
    runs = study.runs[list(NAMES)]
    if kind == "lambda_min":
        return np.array([[known_range(curve) for curve in row] for row in curves(runs).to_numpy()])
    return np.stack([metrics(runs, "psnr_db" if kind == "PSNR" else "iou")] * 2, axis=-1)


def _agreement(
    setting: tuple[str, str], study: Population, rows: Ranges, others: Sequence[Ranges], beside: str = ""
) -> Part:
    """Weigh Kendall's tau of every item's scores with the others' of its place."""
    if not others:
        return Part(setting, "of one item alone", None)
    taus = pd.Series([*map(tau_b, rows, others)], study.runs.index)
    found = study.mean(taus)
    if not found:
        return Part(setting, "no order: none are told apart", None)
    none = f"; no order in {len(taus) - found.count}" if found.count < len(taus) else ""
    return Part(setting, f"tau {found}{none}{beside}", at_least(found, STABLE))


def tau_b(one: Ranges, other: Ranges) -> float:
    """Return Kendall's tau-b of two lists of ranges (k, 2), of which those that overlap are ties.

    It is NaN if no two ranges of a list are told apart.
    """
    signs = [_signs(ranges) for ranges in (one, other)]
    norms = [float((sign**2).sum()) for sign in signs]
    return float((signs[0] * signs[1]).sum()) / math.sqrt(norms[0] * norms[1]) if all(norms) else math.nan


def _signs(ranges: Ranges) -> NDArray[np.int64]:
    """Return (k, k) signs: 1 where the first surely exceeds the second, -1 where it is surely exceeded."""
    above = ranges[:, None, 0] > ranges[None, :, 1]
    return above.astype(np.int64) - above.T


def _order(middle: Ranges) -> str:
    """Return the presets from the smallest to the largest; after < all are surely above all before it."""
    names, signs = list(NAMES.values()), _signs(middle)
    ranked = [int(k) for k in np.lexsort((middle[:, 1], middle[:, 0]))]
    split = [bool((signs[np.ix_(ranked[k:], ranked[:k])] > 0).all()) for k in range(1, len(ranked))]
    steps = [f"{'<' if apart else '~'} {names[k]}" for apart, k in zip(split, ranked[1:], strict=True)]
    return " ".join([names[ranked[0]], *steps])
