"""What the paper claims of spectra: (a), (b), (f) and (g); `claims_of_ablation` has (c)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from itertools import groupby, product

import numpy as np

from analysis.paper.drawing import NAMES, STAGES
from analysis.paper.verdicts import FFES, MPES, OVER_BASELINE, OVER_FFE, STAGE_SAID, Claim, Part, Population
from ntkspec.population.intervals import decades, interval, median, resolved, said
from ntkspec.population.outcomes import Curve, Outcome, indices

APART = 0.05  # decades by which curves must part to count as apart
STRETCH = 3  # kept indices in a row at which they must, on both sides of a crossing


def over_baseline(pictures: Population, meshes: Population) -> Claim:
    """(a)"""
    parts, remarks = [], []
    for study, name, stage in product((pictures, meshes), MPES, STAGES):
        parts.append(_smallest(study, name, "baseline", stage, OVER_BASELINE["lambda_min"]))
        items = study.items(name, "baseline")
        above = study.mean(items, functools.partial(_halfway, name=name))
        if stage == "end" and above:
            remarks.append(
                f"{NAMES[name]}, {study.domain}: about halfway down the spectrum, where both are resolved in "
                f"{above.count} of {len(items)}, it lies {above} decades above the baseline"
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
    """(b)"""
    parts = [
        _smallest(study, name, other, "end", OVER_FFE["lambda_min"])
        for study, name, other in product((pictures, meshes), MPES, FFES)
    ]
    return Claim(
        "b", "lambda_min of an MPE is 2 decades above that of Fourier features, in the median", tuple(parts)
    )


def _smallest(study: Population, name: str, other: str, stage: str, claimed: float) -> Part:
    """lambda_min of one preset over another's: the median over items, zeros and floors included."""
    items = study.items(name, other)
    ends = {each: [item[each].stages[stage].spectra["total"] for item in items] for each in (name, other)}
    ratios = [decades(*pair) for pair in zip(ends[name], ends[other], strict=True)]
    least, most = median(ratios, study.seeds(items))
    setting = (NAMES[name], f"over {NAMES[other]}", study.domain, *STAGE_SAID[stage])
    beside = "".join(
        f"; {_not_numbers(each, curves)}" for each, curves in ends.items() if _not_numbers(each, curves)
    )
    holds = True if least.low >= claimed else False if most.high < claimed else None
    return Part(setting, said(least, most, " decades") + beside, holds)


def _not_numbers(name: str, curves: Sequence[Curve]) -> str:
    """In how many items lambda_min is exactly zero, and in how many unresolved."""
    counts = {
        "exactly 0": sum(curve.lambda_min == 0 for curve in curves),
        "unresolved": sum(curve.lambda_min is None for curve in curves),
    }
    said = ", ".join(f"{what} in {count}" for what, count in counts.items() if count)
    return f"{NAMES[name]} {said} of {len(curves)}" if said else ""


def _halfway(item: dict[str, Outcome], name: str) -> float:
    high, low = (resolved(item[each].end.spectra["total"]) for each in (name, "baseline"))
    size = item[name].end.spectra["total"].size
    at = int(np.argmin(np.abs(np.array(indices(size)) - size / 2)))
    return float(np.log10(high[at] / low[at]))


def theorem1(pictures: Population, meshes: Population) -> Claim:
    """(f)"""
    parts = []
    for study, name in product((pictures, meshes), MPES):
        items = study.items(name)
        stages = [stage for item in items for stage in item[name].stages.values()]
        broken = sum(any("theorem1" in each for each in stage.broken) for stage in stages)
        known = [stage.slack for stage in stages if stage.slack]
        said = f"{broken} of {len(stages)} spectra break it"
        middle = study.mean(items, functools.partial(_slack, name=name))
        if middle:
            compared = [int(each["compared"]) for each in known]
            tight = float(np.mean([each["share"] for each in known]))
            size = items[0][name].end.spectra["total"].size
            said += (
                f"; slack at least {min(each['least'] for each in known):.1e}, median {middle} decades, over "
                f"the {min(compared)} to {max(compared)} of {size} values that both resolve; "
                f"below 0.01 decades at {100 * tight:.0f}% of them"
            )
        parts.append(Part((NAMES[name], study.domain), said, False if broken else True if middle else None))
    return Claim("f", "Theorem 1 holds for every i", tuple(parts))


def _slack(item: dict[str, Outcome], name: str) -> float:
    """Theorem 1's slack in decades, the median over indices, mean over snapshots; NaN where none is known."""
    medians = [stage.slack["median"] for stage in item[name].stages.values() if stage.slack]
    return float(np.mean(medians)) if medians else math.nan


def crossing(pictures: Population, meshes: Population) -> Claim:
    """(g)"""
    parts, remarks = [], []
    for study, other in product((pictures, meshes), FFES):
        items = study.items("mpe-coarse", other)
        places = [_crossing(item["mpe-coarse"], item[other], STRETCH) for item in items]
        crossed = [place for place in places if place is not None]
        found = interval([place is not None for place in places], study.seeds(items))
        above = [abs(place) for place in crossed if place > 0]
        below = [-place for place in crossed if place < 0]
        where = "".join(
            f"; {side} it from i = {int(np.median(some))} (median) on in {len(some)}"
            for side, some in (("above", above), ("below", below))
            if some
        )
        most = True if found.low > 0.5 else False if found.high <= 0.5 else None
        parts.append(Part((NAMES[other], study.domain), f"in {len(crossed)} of {len(places)}{where}", most))
        briefly = sum(_crossing(item["mpe-coarse"], item[other], 1) is not None for item in items)
        remarks.append(f"{NAMES[other]}, {study.domain}: at one index or more, in {briefly} of {len(items)}")
    return Claim(
        "g",
        "the coarse MPE's spectrum crosses that of Fourier features: each lies above the other by 0.05 "
        "decades at three kept indices in a row or more",
        tuple(parts),
        tuple(remarks),
    )


def _crossing(a: Outcome, b: Outcome, stretch: int) -> int | None:
    """The index from which `a` is above `b` for good, or its negative if below; None if they do not cross."""
    curves = a.end.spectra["total"], b.end.spectra["total"]
    values = [resolved(curve) for curve in curves]
    apart = np.log10(values[0] / values[1])
    # An unresolved value is at most the floor: below the other's, if that is clear of it.
    lost = [
        np.isnan(some) & (other > 10 * curve.floor)
        for some, other, curve in zip(values, values[::-1], curves, strict=True)
    ]
    apart[lost[0]], apart[lost[1]] = -1.0, 1.0
    signs = np.where(np.abs(np.nan_to_num(apart)) > APART, np.sign(np.nan_to_num(apart)), 0).astype(int)
    runs = [(sign, [at for at, _ in some]) for sign, some in groupby(enumerate(signs), lambda pair: pair[1])]
    long = [(sign, places[0]) for sign, places in runs if sign and len(places) >= stretch]
    if len({sign for sign, _ in long}) < 2:
        return None
    last = long[-1][0]
    before = max(k for k, (sign, _) in enumerate(long) if sign != last)
    return int(last) * indices(curves[0].size)[long[before + 1][1]]
