"""What the paper claims of quality and of the order of encodings: (d), (e), (h) and (i)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from analysis.paper.drawing import NAMES
from analysis.paper.sweeps import FEATURES, fourier, multigrid
from analysis.paper.verdicts import (
    FFES,
    MPES,
    OVER_BASELINE,
    OVER_FFE,
    Claim,
    Part,
    Population,
    Score,
    at_least,
    best_of,
    metric_of,
)
from ntkspec.population.intervals import Seeds, decades, interval, known_range, median, said
from ntkspec.population.outcomes import Outcome

METRICS = ("psnr_db", "ms_ssim")
DOUBLING_DB = 0.5  # a doubling of frequency or resolution that gains less has saturated
STABLE = 0.8  # Kendall's tau between an item's order and that of all others

DOUBLINGS = [  # what is doubled, the runs before and after, whether that should gain little
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


def quality_over_baseline(pictures: Population) -> Claim:
    """(d)"""
    parts = [
        _gain(pictures, name, metric_of("baseline", metric), "baseline", metric, OVER_BASELINE[metric])
        for name, metric in product(MPES, METRICS)
    ]
    remarks = _ceilings(pictures, ("baseline",), OVER_BASELINE["ms_ssim"])
    return Claim(
        "d", "an MPE gains 15 dB of PSNR and 0.65 of MS-SSIM over the baseline", tuple(parts), remarks
    )


def quality_over_fourier(pictures: Population) -> Claim:
    """(e)"""
    parts = []
    for name, metric in product(MPES, METRICS):
        claimed = OVER_FFE[metric]
        for other in FFES:
            parts.append(_gain(pictures, name, metric_of(other, metric), NAMES[other], metric, claimed))
        parts.append(_gain(pictures, name, best_of(FFES, metric), "the best FFE", metric, claimed))
    remarks = _ceilings(pictures, FFES, OVER_FFE["ms_ssim"])
    return Claim(
        "e", "an MPE gains 12 dB of PSNR and 0.33 of MS-SSIM over Fourier features", tuple(parts), remarks
    )


def _ceilings(pictures: Population, names: Sequence[str], claimed: float) -> tuple[str, ...]:
    """On how many pictures no network could gain so much, since MS-SSIM ends at 1."""
    remarks = []
    for name in names:
        scores = [item[name].end.metrics.get("ms_ssim", 0.0) for item in pictures.items(name)]
        above = sum(score > 1 - claimed for score in scores)
        remarks.append(
            f"MS-SSIM ends at 1, and that of {NAMES[name]} is above {1 - claimed:.2f} on {above} of "
            f"{len(scores)} pictures: no network gains {claimed} there"
        )
    return tuple(remarks)


def _gain(study: Population, name: str, over: Score, other: str, metric: str, claimed: float) -> Part:
    unit = "dB" if metric == "psnr_db" else "MS-SSIM"
    setting = (NAMES[name], f"over {other}", unit)
    if any(metric not in each.end.metrics for each in study.outcomes):
        return Part(setting, "not measured on all of them", None)
    found = study.gain(metric, name, over, "baseline", *FFES)
    return Part(setting, f"{found} {unit}", at_least(found, claimed))


def saturation(sweeps: Population) -> Claim:
    """(h)"""
    parts = []
    for setting, (before, after), saturates in DOUBLINGS:
        found = sweeps.gain("psnr_db", after, metric_of(before, "psnr_db"), before)
        items = sweeps.items(before, after)
        ends = [[item[name].end.spectra["total"] for name in (after, before)] for item in items]
        lifted = said(*median([decades(*pair) for pair in ends], sweeps.seeds(items)), " decades")
        little = True if found.high < DOUBLING_DB else False if found.low >= DOUBLING_DB else None
        as_said = little if saturates else None if little is None else not little
        parts.append(Part(setting, f"{found} dB; lambda_min {lifted}", as_said))
    return Claim(
        "h",
        "Fourier features saturate with frequency (a doubling gains less than 0.5 dB), finer grids do not",
        tuple(parts),
    )


def stability(pictures: Population, meshes: Population) -> Claim:
    """(i)"""
    tried = (("lambda_min", pictures), ("lambda_min", meshes), ("PSNR", pictures), ("IoU", meshes))
    scores = {
        (kind, study.domain): np.array(
            [[_range(item[name], kind) for name in NAMES] for item in study.items(*NAMES)]
        )
        for kind, study in tried
    }
    seeds = {study.domain: study.seeds(study.items(*NAMES)) for study in (pictures, meshes)}
    parts = []
    for setting, rows in scores.items():
        middle = np.median(rows, axis=0)
        apart = (np.delete(rows, i, axis=0) for i in range(len(rows)))
        others = [np.median(rest, axis=0) for rest in apart] if len(rows) > 1 else []
        parts.append(_agreement(setting, rows, others, f": {_order(middle)}", seeds[setting[1]]))
    for kind, other in (("lambda_min", "lambda_min"), ("IoU", "PSNR")):
        rows, middle = scores[kind, "meshes"], np.median(scores[other, "pictures"], axis=0)
        against = "pictures" if kind == other else f"{other} of pictures"
        setting = (kind, f"meshes against {against}")
        parts.append(_agreement(setting, rows, [middle] * len(rows), "", seeds["meshes"]))
    return Claim(
        "i",
        "the order of the encodings is stable over pictures and domains (Kendall's tau of an item's order "
        "with that of the others' medians is 0.8 or more; ~: not told apart)",
        tuple(parts),
    )


def _agreement(
    setting: tuple[str, str], rows: Ranges, others: Sequence[Ranges], beside: str, seeds: Seeds
) -> Part:
    """Kendall's tau of every item's scores with those beside it; none where no two scores are told apart."""
    taus = [tau_b(row, other) for row, other in zip(rows, others, strict=False)]
    known = {k: tau for k, tau in enumerate(taus) if np.isfinite(tau)}
    if not known:
        return Part(setting, "no order: none are told apart" if taus else "of one item alone", None)
    found = interval([*known.values()], [seeds[k] for k in known])
    none = f"; no order in {len(taus) - len(known)}" if len(known) < len(taus) else ""
    return Part(setting, f"tau {found}{none}{beside}", at_least(found, STABLE))


def tau_b(one: Ranges, other: Ranges) -> float:
    """Kendall's tau-b of two lists of ranges (k, 2); those that overlap are ties. NaN if one has no order."""
    signs = [_signs(ranges) for ranges in (one, other)]
    norms = [float((sign**2).sum()) for sign in signs]
    return float((signs[0] * signs[1]).sum()) / math.sqrt(norms[0] * norms[1]) if all(norms) else math.nan


def _signs(ranges: Ranges) -> NDArray[np.int64]:
    """(k, k): 1 where the first surely exceeds the second, -1 where it is surely exceeded."""
    above = ranges[:, None, 0] > ranges[None, :, 1]
    return above.astype(np.int64) - above.T


def _order(middle: Ranges) -> str:
    """The presets from the smallest to the largest; after < all are surely above all before it."""
    names, signs = list(NAMES.values()), _signs(middle)
    ranked = [int(k) for k in np.lexsort((middle[:, 1], middle[:, 0]))]
    split = [bool((signs[np.ix_(ranked[k:], ranked[:k])] > 0).all()) for k in range(1, len(ranked))]
    steps = [f"{'<' if apart else '~'} {names[k]}" for apart, k in zip(split, ranked[1:], strict=True)]
    return " ".join([names[ranked[0]], *steps])


def _range(outcome: Outcome, kind: str) -> tuple[float, float]:
    """What an order is of: a number twice, or between what an unresolved lambda_min lies."""
    if kind == "lambda_min":
        return known_range(outcome.end.spectra["total"])
    value = outcome.end.metric("psnr_db" if kind == "PSNR" else "iou")
    return value, value
