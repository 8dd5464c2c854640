"""What the paper claims of spectra: (a), (b), (c), (f) and (g), in every setting, with remarks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, product

import numpy as np
import pandas as pd

from analysis.paper.drawing import NAMES, STAGES
from analysis.paper.ratios import decades, resolved
from analysis.paper.tables import curves, smallest
from analysis.paper.verdicts import (
    FFES,
    MPES,
    OVER_BASELINE,
    OVER_FFE,
    STAGE_SAID,
    Part,
    Population,
    at_least,
    majority,
    opposite,
)
from ntkspec.population.outcomes import Curve, indices
from ntkspec.report.compare import Known
from ntkspec.report.words import sci_down

APART = 0.05  # decades by which curves must part to count as apart, and an MPE to be lifted
NEAR = 0.5  # of the lift: less than this is left where a curve has fallen back to the baseline
STRETCH = 3  # kept indices in a row at which curves must be apart, on both sides of a crossing


def over_baseline(*studies: Population) -> Iterator[Part | str]:
    """Weigh (a)."""
    for study, name, stage in product(studies, MPES, STAGES):
        yield _smallest(study, name, "baseline", stage, OVER_BASELINE["lambda_min"])
    for study, name in product(studies, MPES):
        ends = curves(study.runs)
        above = study.mean(ends[name].combine(ends["baseline"], _halfway))
        if above:
            yield (
                f"{NAMES[name]}, {study.domain}: about halfway down the spectrum, where both are resolved in "
                f"{above.count} of {len(ends)}, it lies {above} decades above the baseline"
            )


def over_fourier(*studies: Population) -> Iterator[Part | str]:
    """Weigh (b)."""
    for study, name, other in product(studies, MPES, FFES):
        yield _smallest(study, name, other, "end", OVER_FFE["lambda_min"])


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


def without_grid(*studies: Population) -> Iterator[Part | str]:
    """Weigh (c)."""
    for study, name in product(studies, MPES):
        with_it, without = (smallest(curves(study.runs[name], kernel=k)) for k in ("total", "no_grid"))
        yield f"{NAMES[name]}, {study.domain}: lambda_min without its gradients {without}; with: {with_it}"
    for study, name, stage in product(studies, MPES, STAGES):
        yield _along_the_spectrum(study, name, stage)
    for study, name in product(studies, MPES):
        yield _at_the_end(study, name)


def _along_the_spectrum(study: Population, name: str, stage: str) -> Part:
    """Weigh what share of its decades over the baseline an MPE keeps without its grid's gradients."""
    totals, kept = curves(study.runs, stage), curves(study.runs[name], stage, "no_grid")
    found = map(_left, totals[name], kept, totals["baseline"])
    left = pd.DataFrame(found, kept.index, ["share", "last"], dtype=object)
    known, setting = left.dropna(), (NAMES[name], study.domain, *STAGE_SAID[stage])
    if known.empty:
        return Part(setting, "the MPE lies nowhere above the baseline", None)
    share, ends = study.median(known.share)
    none = f"; no lift in {len(left) - len(known)}" if len(known) < len(left) else ""
    upto = f"up to i = {int(known['last'].median())} (median) of {kept.iloc[0].size}"
    return Part(setting, f"{share} of the lift is left, {upto}{none}", opposite(at_least(ends, NEAR)))


def _left(whole: Curve, kept: Curve, baseline: Curve) -> tuple[Known | None, int | None]:
    """Return what is left where the MPE lies above the baseline, both resolved, and the last such index.

    The median over indices is known to lie between two ends where the kept curve is unresolved.
    """
    base = np.log10(resolved(baseline))
    lift = np.log10(resolved(whole)) - base
    above = np.flatnonzero(np.nan_to_num(lift) > APART)
    if not above.size:
        return None, None
    ends = []
    for unresolved in (0.0, kept.floor):  # between which such a value lies
        values = [unresolved if kept.values[k] is None else kept.values[k] for k in above]
        logarithms = np.array([math.log10(value) if value else -math.inf for value in values])
        ends.append(float(np.median((logarithms - base[above]) / lift[above])))
    return Known(*ends), indices(kept.size)[int(above[-1])]


def _at_the_end(study: Population, name: str) -> Part:
    """Weigh lambda_min at the end: on how many items less than half of the decades are left."""
    baseline = curves(study.runs["baseline"])
    lifts, left = (
        curves(study.runs[name], kernel=kernel).combine(baseline, decades) for kernel in ("total", "no_grid")
    )
    lifted = lifts.map(lambda lift: lift.low > APART)
    setting = (NAMES[name], study.domain, "lambda_min")
    if not lifted.any():
        return Part(setting, "the MPE's is nowhere above the baseline's", None)
    lifts, left = lifts[lifted], left[lifted]
    fallen = left.combine(lifts, lambda rest, lift: rest.high < NEAR * lift.low)
    may = fallen | left.combine(lifts, lambda rest, lift: rest.low < NEAR * lift.high)
    low, high = study.mean(fallen), study.mean(may)
    unknown = f", unknown on {(may & ~fallen).sum()}" if (may & ~fallen).any() else ""
    found = f"fallen back on {fallen.sum()}{unknown} of {len(fallen)} on which the MPE's is above"
    return Part(setting, found, majority(Known(low.low, high.high)) if low and high else None)


def theorem1(*studies: Population) -> Iterator[Part | str]:
    """Weigh (f)."""
    for study, name in product(studies, MPES):
        stages = [(run.item, stage) for run in study.runs[name] for stage in run.stages.values()]
        broken = sum(any("theorem1" in each for each in stage.broken) for _, stage in stages)
        said, middle = f"{broken} of {len(stages)} spectra break it", None
        slack = pd.DataFrame([{"item": item, **stage.slack} for item, stage in stages if stage.slack])
        if len(slack):
            middle = study.mean(slack.groupby("item")["median"].mean())
            size = stages[0][1].spectra["total"].size
            said += (
                f"; slack at least {sci_down(slack.least.min())}, median {middle} decades, over "
                f"the {slack.compared.min():.0f} to {slack.compared.max():.0f} of {size} values that both "
                f"resolve; below 0.01 decades at {100 * slack.share.mean():.0f}% of them"
            )
        yield Part((NAMES[name], study.domain), said, False if broken else True if middle else None)


def crossing(*studies: Population) -> Iterator[Part | str]:
    """Weigh (g)."""
    for study, other in product(studies, FFES):
        ends = curves(study.runs)
        pairs = list(zip(ends["mpe-coarse"], ends[other], strict=True))
        places = pd.Series([_crossing(*pair, STRETCH) for pair in pairs], ends.index)
        where = "".join(
            f"; {side} it from i = {int(some.abs().median())} (median) on in {len(some)}"
            for side, some in (("above", places[places > 0]), ("below", places[places < 0]))
            if len(some)
        )
        found = f"in {(places != 0).sum()} of {len(places)}{where}"
        yield Part((NAMES[other], study.domain), found, majority(study.mean(places != 0)))
        briefly = sum(_crossing(*pair, 1) != 0 for pair in pairs)
        yield f"{NAMES[other]}, {study.domain}: at one index or more, in {briefly} of {len(places)}"


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
