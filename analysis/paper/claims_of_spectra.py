"""What the paper claims of spectra: (a), (b), (c), (f) and (g)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from drawing import NAMES, STAGES
from intervals import decades, interval, median, resolved, said, share
from outcomes import Curve, Outcome, indices
from scaling_table import smallest
from verdicts import FFES, MPES, OVER_BASELINE, OVER_FFE, Claim, Part, Population

STAGE_SAID = {"mid": ("mid",), "end": ()}
APART = 0.05  # decades by which curves must part to count as apart
STRETCH = 3  # kept indices at which they must, on both sides of a crossing
NEAR = 0.5  # of the lift: less than this is left where a curve has fallen back to the baseline


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


def without_grid(pictures: Population, meshes: Population) -> Claim:
    """(c)"""
    parts, remarks = [], []
    for study, name in product((pictures, meshes), MPES):
        spectra = [item[name].end.spectra for item in study.items(name)]
        with_it, without = (smallest([each[kernel] for each in spectra]) for kernel in ("total", "no_grid"))
        remarks.append(
            f"{NAMES[name]}, {study.domain}: lambda_min without its gradients {without}; with: {with_it}"
        )
    for study, name, stage in product((pictures, meshes), MPES, STAGES):
        setting = (NAMES[name], study.domain, *STAGE_SAID[stage])
        parts.append(_left(study, name, stage, setting))
    for study, name in product((pictures, meshes), MPES):
        parts.append(_fallen(study, name))
    return Claim(
        "c",
        "without the grid's gradients the spectrum falls back to near the baseline's or below it: where the "
        "MPE lies above it, less than half of the decades between them are left (less than none: below it); "
        "at lambda_min, on more than half of the items",
        tuple(parts),
        tuple(remarks),
    )


@dataclass(frozen=True)
class Lift:
    """By how many decades MPE without grid, and MPE, lie above the baseline: means over kept indices."""

    left: float  # at most, if `limits`
    whole: float
    last: int  # of the indices; 0 if the MPE lies above nowhere
    limits: int  # at how many of them the MPE without grid is unresolved, and stands at its floor


def _left(study: Population, name: str, stage: str, setting: tuple[str, ...]) -> Part:
    items = study.items(name, "baseline")
    lifts = [_lift(item, name, stage) for item in items]
    lifted = [k for k, lift in enumerate(lifts) if lift.last]
    if not lifted:
        return Part(setting, "the MPE lies nowhere above the baseline", None)
    known = [lifts[k] for k in lifted]
    seeds = study.seeds([items[k] for k in lifted])
    found = share([lift.left for lift in known], [lift.whole for lift in known], seeds)
    limited = any(lift.limits for lift in known)
    near = True if found.high < NEAR else False if found.low >= NEAR and not limited else None
    none = f"; no lift in {len(items) - len(lifted)}" if len(lifted) < len(items) else ""
    last = int(np.median([lift.last for lift in known]))
    size = items[0][name].end.spectra["total"].size
    most = "at most " if limited else ""
    return Part(
        setting, f"{most}{found} of the lift is left, up to i = {last} (median) of {size}{none}", near
    )


def _lift(item: dict[str, Outcome], name: str, stage: str) -> Lift:
    """Over the indices at which the MPE lies above the baseline and both are resolved."""
    spectra = item[name].stages[stage].spectra
    base = np.log10(resolved(item["baseline"].stages[stage].spectra["total"]))
    lift = np.log10(resolved(spectra["total"])) - base
    kept = resolved(spectra["no_grid"])
    left = np.log10(np.where(np.isnan(kept), spectra["no_grid"].floor, kept)) - base
    above = np.nan_to_num(lift) > APART
    if not above.any():
        return Lift(0.0, 0.0, 0, 0)
    last = indices(spectra["total"].size)[int(np.flatnonzero(above)[-1])]
    limits = int(np.isnan(kept[above]).sum())
    return Lift(float(left[above].mean()), float(lift[above].mean()), last, limits)


def _fallen(study: Population, name: str) -> Part:
    """At lambda_min, at the end: on how many items less than half of the decades are left."""
    items = study.items(name, "baseline")
    ends = [
        (
            item[name].end.spectra["total"],
            item[name].end.spectra["no_grid"],
            item["baseline"].end.spectra["total"],
        )
        for item in items
    ]
    lifts = [(decades(total, base), decades(kept, base)) for total, kept, base in ends]
    lifted = [k for k, (whole, _) in enumerate(lifts) if whole.low > APART]
    setting = (NAMES[name], study.domain, "lambda_min")
    if not lifted:
        return Part(setting, "the MPE's is nowhere above the baseline's", None)
    fallen = [lifts[k][1].high < NEAR * lifts[k][0].low for k in lifted]
    found = interval(fallen, study.seeds([items[k] for k in lifted]))
    most = True if found.low > 0.5 else False if found.high <= 0.5 else None
    return Part(setting, f"fallen back on {sum(fallen)} of {len(lifted)} on which the MPE's is above", most)


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
    parts = []
    for study, other in product((pictures, meshes), FFES):
        items = study.items("mpe-coarse", other)
        places = [_crossing(item["mpe-coarse"], item[other]) for item in items]
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
    return Claim(
        "g",
        "the coarse MPE's spectrum crosses that of Fourier features: each lies above the other by 0.05 "
        "decades at three kept indices or more",
        tuple(parts),
    )


def _crossing(a: Outcome, b: Outcome) -> int | None:
    """The index from which `a` is above `b` for good, or its negative if below; None if it always was."""
    curves = a.end.spectra["total"], b.end.spectra["total"]
    values = [resolved(curve) for curve in curves]
    apart = np.log10(values[0] / values[1])
    # An unresolved value is at most the floor: below the other's, if that is clear of it.
    lost = [
        np.isnan(some) & (other > 10 * curve.floor)
        for some, other, curve in zip(values, values[::-1], curves, strict=True)
    ]
    apart[lost[0]], apart[lost[1]] = -1.0, 1.0
    clear = np.flatnonzero(np.abs(np.nan_to_num(apart)) > APART)
    signs = np.sign(apart[clear])
    if min(np.count_nonzero(signs > 0), np.count_nonzero(signs < 0)) < STRETCH:
        return None
    last = int(np.flatnonzero(signs[1:] != signs[:-1])[-1])
    return int(signs[-1]) * indices(curves[0].size)[int(clear[last + 1])]
