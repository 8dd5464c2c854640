"""What the paper claims of multigrids without their grid's gradients: (c)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from analysis.paper.drawing import NAMES, STAGES
from analysis.paper.tables import curves, smallest
from analysis.paper.verdicts import (
    MPES,
    STAGE_SAID,
    Claim,
    Part,
    Population,
    at_least,
    most,
    opposite,
)
from ntkspec.population.intervals import decades, resolved
from ntkspec.population.outcomes import Curve, indices
from ntkspec.report.decades import Known

APART = 0.05  # decades by which the MPE must lie above the baseline for there to be a lift
NEAR = 0.5  # of the lift: less than this is left where a curve has fallen back to the baseline


def without_grid(pictures: Population, meshes: Population) -> Claim:
    """Weigh (c)."""
    compared = list(product((pictures, meshes), MPES))
    remarks = []
    for study, name in compared:
        with_it, without = (smallest(curves(study.runs[name], kernel=k)) for k in ("total", "no_grid"))
        remarks.append(
            f"{NAMES[name]}, {study.domain}: lambda_min without its gradients {without}; with: {with_it}"
        )
    parts = [_along_the_spectrum(*each, stage) for each in compared for stage in STAGES]
    parts += [_at_the_end(*each) for each in compared]
    return Claim(
        "c",
        "without the grid's gradients the spectrum falls back to near the baseline's or below it: where the "
        "MPE lies above it, less than half of the decades between them are left (less than none: below it), "
        "in the median; at lambda_min, on more than half of the items (over an exact zero: it is exactly "
        "zero too)",
        tuple(parts),
        tuple(remarks),
    )


@dataclass(frozen=True)
class Left:
    """What share of its decades over the baseline an MPE keeps without its grid's gradients."""

    share: Known  # the median over kept indices
    last: int  # of these indices


def _along_the_spectrum(study: Population, name: str, stage: str) -> Part:
    totals = curves(study.runs, stage)
    kept = curves(study.runs[name], stage, "no_grid")
    found = map(_left, totals[name], kept, totals["baseline"])
    left = pd.Series([*found], kept.index, dtype=object)
    setting = (NAMES[name], study.domain, *STAGE_SAID[stage])
    known = left.dropna()
    if known.empty:
        return Part(setting, "the MPE lies nowhere above the baseline", None)
    share, ends = study.median(known.map(lambda each: each.share))
    last = int(known.map(lambda each: each.last).median())
    none = f"; no lift in {len(left) - len(known)}" if len(known) < len(left) else ""
    size = kept.iloc[0].size
    said = f"{share} of the lift is left, up to i = {last} (median) of {size}{none}"
    return Part(setting, said, opposite(at_least(ends, NEAR)))


def _left(whole: Curve, kept: Curve, baseline: Curve) -> Left | None:
    """Return what is left where the MPE lies above the baseline, and both are resolved; None if nowhere."""
    base = np.log10(resolved(baseline))
    lift = np.log10(resolved(whole)) - base
    above = np.flatnonzero(np.nan_to_num(lift) > APART)
    if not above.size:
        return None
    ends = []
    for unresolved in (0.0, kept.floor):  # between which such a value lies
        values = [unresolved if kept.values[k] is None else kept.values[k] for k in above]
        logarithms = np.array([math.log10(value) if value else -math.inf for value in values])
        ends.append(float(np.median((logarithms - base[above]) / lift[above])))
    return Left(Known(*ends), indices(kept.size)[int(above[-1])])


def _at_the_end(study: Population, name: str) -> Part:
    """Weigh lambda_min at the end: on how many items less than half of the decades are left."""
    runs, baseline = study.runs[name], curves(study.runs["baseline"])
    lifts, left = (curves(runs, kernel=k).combine(baseline, decades) for k in ("total", "no_grid"))
    lifted = lifts.map(lambda lift: lift.low > APART)
    setting = (NAMES[name], study.domain, "lambda_min")
    if not lifted.any():
        return Part(setting, "the MPE's is nowhere above the baseline's", None)
    lifts, left = lifts[lifted], left[lifted]
    fallen = left.combine(lifts, lambda rest, lift: rest.high < NEAR * lift.low)
    may = left.combine(lifts, lambda rest, lift: rest.low < NEAR * lift.high) | fallen
    share = Known(study.mean(fallen).low, study.mean(may).high)
    unknown = int((may & ~fallen).sum())
    said_unknown = f", unknown on {unknown}" if unknown else ""
    found = f"fallen back on {fallen.sum()}{said_unknown} of {len(fallen)} on which the MPE's is above"
    return Part(setting, found, most(share))
