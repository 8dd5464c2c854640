"""What the paper claims of spectra: (a), (b), (f) and (g); `claims_of_ablation` has (c)."""

from __future__ import annotations

import math
from itertools import groupby, product

import numpy as np
import pandas as pd

from analysis.paper.drawing import NAMES, STAGES
from analysis.paper.tables import curves
from analysis.paper.verdicts import (
    FFES,
    MPES,
    OVER_BASELINE,
    OVER_FFE,
    STAGE_SAID,
    Claim,
    Part,
    Population,
    at_least,
    most,
)
from ntkspec.population.intervals import decades, resolved
from ntkspec.population.outcomes import Curve, Outcome, indices

APART = 0.05  # decades by which curves must part to count as apart
STRETCH = 3  # kept indices in a row at which they must, on both sides of a crossing


def over_baseline(pictures: Population, meshes: Population) -> Claim:
    """Weigh (a)."""
    claimed = OVER_BASELINE["lambda_min"]
    parts = [
        _smallest(study, name, "baseline", stage, claimed)
        for study, name, stage in product((pictures, meshes), MPES, STAGES)
    ]
    remarks = []
    for study, name in product((pictures, meshes), MPES):
        ends = curves(study.runs)
        above = study.mean(ends[name].combine(ends["baseline"], _halfway))
        if above:
            remarks.append(
                f"{NAMES[name]}, {study.domain}: about halfway down the spectrum, where both are resolved in "
                f"{above.count} of {len(ends)}, it lies {above} decades above the baseline"
            )
    remarks.append(
        "Where the baseline's kernel is exactly singular, its lambda_min is exceeded by more than any factor"
    )
    return Claim(
        "a",
        "lambda_min of an MPE is 8 decades above the baseline's, in the median; above an exact zero by any "
        "number",
        tuple(parts),
        tuple(remarks),
    )


def over_fourier(pictures: Population, meshes: Population) -> Claim:
    """Weigh (b)."""
    parts = [
        _smallest(study, name, other, "end", OVER_FFE["lambda_min"])
        for study, name, other in product((pictures, meshes), MPES, FFES)
    ]
    return Claim(
        "b", "lambda_min of an MPE is 2 decades above that of Fourier features, in the median", tuple(parts)
    )


def _smallest(study: Population, name: str, other: str, stage: str, claimed: float) -> Part:
    """Weigh lambda_min of one preset over another's: the median over items, zeros and floors included."""
    spectra = curves(study.runs, stage)
    found, ends = study.median(spectra[name].combine(spectra[other], decades), " decades")
    beside = "".join(_not_numbers(each, spectra[each]) for each in (name, other))
    setting = (NAMES[name], f"over {NAMES[other]}", study.domain, *STAGE_SAID[stage])
    return Part(setting, found + beside, at_least(ends, claimed))


def _not_numbers(name: str, spectra: pd.Series) -> str:
    """Return in how many items lambda_min is exactly zero, and in how many unresolved."""
    values = spectra.map(lambda curve: curve.lambda_min).astype(float)
    counts = {"exactly 0": (values == 0).sum(), "unresolved": values.isna().sum()}
    said = ", ".join(f"{what} in {count}" for what, count in counts.items() if count)
    return f"; {NAMES[name]} {said} of {len(spectra)}" if said else ""


def _halfway(high: Curve, low: Curve) -> float:
    at = int(np.argmin(np.abs(np.array(indices(high.size)) - high.size / 2)))
    return float(np.log10(resolved(high)[at] / resolved(low)[at]))


def theorem1(pictures: Population, meshes: Population) -> Claim:
    """Weigh (f)."""
    parts = []
    for study, name in product((pictures, meshes), MPES):
        runs = study.runs[name]
        stages = [stage for run in runs for stage in run.stages.values()]
        broken = sum(any("theorem1" in each for each in stage.broken) for stage in stages)
        said = f"{broken} of {len(stages)} spectra break it"
        middle = study.mean(runs.map(_slack))
        if middle:
            known = pd.DataFrame([stage.slack for stage in stages if stage.slack])
            size = runs.iloc[0].end.spectra["total"].size
            said += (
                f"; slack at least {known.least.min():.1e}, median {middle} decades, over "
                f"the {known.compared.min():.0f} to {known.compared.max():.0f} of {size} values that both "
                f"resolve; below 0.01 decades at {100 * known.share.mean():.0f}% of them"
            )
        parts.append(Part((NAMES[name], study.domain), said, False if broken else True if middle else None))
    return Claim("f", "Theorem 1 holds for every i", tuple(parts))


def _slack(run: Outcome) -> float:
    """Return the mean over snapshots of Theorem 1's median slack, in decades; NaN if none is known."""
    medians = [stage.slack["median"] for stage in run.stages.values() if stage.slack]
    return float(np.mean(medians)) if medians else math.nan


def crossing(pictures: Population, meshes: Population) -> Claim:
    """Weigh (g)."""
    parts, remarks = [], []
    for study, other in product((pictures, meshes), FFES):
        ends = curves(study.runs)
        pairs = list(zip(ends["mpe-coarse"], ends[other], strict=True))
        places = pd.Series([_crossing(*pair, STRETCH) for pair in pairs], index=ends.index)
        where = "".join(
            f"; {side} it from i = {int(some.abs().median())} (median) on in {len(some)}"
            for side, some in (("above", places[places > 0]), ("below", places[places < 0]))
            if len(some)
        )
        crossed = places != 0
        found = f"in {crossed.sum()} of {len(places)}{where}"
        share = study.mean(crossed)
        parts.append(Part((NAMES[other], study.domain), found, most(share) if share else None))
        briefly = sum(_crossing(*pair, 1) != 0 for pair in pairs)
        remarks.append(f"{NAMES[other]}, {study.domain}: at one index or more, in {briefly} of {len(places)}")
    return Claim(
        "g",
        "the coarse MPE's spectrum crosses that of Fourier features: each lies above the other by 0.05 "
        "decades at three kept indices in a row or more",
        tuple(parts),
        tuple(remarks),
    )


def _crossing(a: Curve, b: Curve, stretch: int) -> int:
    """Return the index from which `a` is above `b` for good, its negative if below; 0 without a crossing."""
    values = [resolved(curve) for curve in (a, b)]
    apart = np.log10(values[0] / values[1])
    # An unresolved value is at most the floor: below the other's, if that is clear of it.
    lost = [
        np.isnan(some) & (other > 10 * curve.floor)
        for some, other, curve in zip(values, values[::-1], (a, b), strict=True)
    ]
    apart[lost[0]], apart[lost[1]] = -1.0, 1.0
    signs = np.where(np.abs(np.nan_to_num(apart)) > APART, np.sign(np.nan_to_num(apart)), 0).astype(int)
    runs = [(sign, [at for at, _ in some]) for sign, some in groupby(enumerate(signs), lambda pair: pair[1])]
    long = [(sign, places[0]) for sign, places in runs if sign and len(places) >= stretch]
    if len({sign for sign, _ in long}) < 2:
        return 0
    last = long[-1][0]
    before = max(k for k, (sign, _) in enumerate(long) if sign != last)
    return int(last) * indices(a.size)[long[before + 1][1]]
