"""What the paper claims of multigrids without their grid's gradients: (c)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np

from analysis.paper.drawing import NAMES, STAGES
from analysis.paper.scaling_table import smallest
from analysis.paper.verdicts import MPES, STAGE_SAID, Claim, Part, Population
from ntkspec.population.intervals import decades, interval, median, resolved, said
from ntkspec.population.outcomes import Outcome, indices
from ntkspec.report.decades import Known

APART = 0.05  # decades by which the MPE must lie above the baseline for there to be a lift
NEAR = 0.5  # of the lift: less than this is left where a curve has fallen back to the baseline


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
        parts.append(_along_the_spectrum(study, name, stage))
    for study, name in product((pictures, meshes), MPES):
        parts.append(_at_the_end(study, name))
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
    items = study.items(name, "baseline")
    found = [_left(item, name, stage) for item in items]
    setting = (NAMES[name], study.domain, *STAGE_SAID[stage])
    known = [left for left in found if left]
    if not known:
        return Part(setting, "the MPE lies nowhere above the baseline", None)
    seeds = study.seeds([item for item, left in zip(items, found, strict=True) if left])
    least, most = median([left.share for left in known], seeds)
    near = True if most.high < NEAR else False if least.low >= NEAR else None
    none = f"; no lift in {len(items) - len(known)}" if len(known) < len(items) else ""
    last = int(np.median([left.last for left in known]))
    size = items[0][name].end.spectra["total"].size
    share = f"{said(least, most)} of the lift is left"
    return Part(setting, f"{share}, up to i = {last} (median) of {size}{none}", near)


def _left(item: dict[str, Outcome], name: str, stage: str) -> Left | None:
    """Over the indices at which the MPE lies above the baseline, and both are resolved."""
    spectra = item[name].stages[stage].spectra
    kept = spectra["no_grid"]
    base = np.log10(resolved(item["baseline"].stages[stage].spectra["total"]))
    lift = np.log10(resolved(spectra["total"])) - base
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
    """At lambda_min, at the end: on how many items less than half of the decades are left."""
    items = study.items(name, "baseline")
    lifts = []
    for item in items:
        spectra, base = item[name].end.spectra, item["baseline"].end.spectra["total"]
        lifts.append((decades(spectra["total"], base), decades(spectra["no_grid"], base)))
    lifted = [k for k, (whole, _) in enumerate(lifts) if whole.low > APART]
    setting = (NAMES[name], study.domain, "lambda_min")
    if not lifted:
        return Part(setting, "the MPE's is nowhere above the baseline's", None)
    fallen = [lifts[k][1].high < NEAR * lifts[k][0].low for k in lifted]
    unknown = [
        not fell and lifts[k][1].low < NEAR * lifts[k][0].high for fell, k in zip(fallen, lifted, strict=True)
    ]
    seeds = study.seeds([items[k] for k in lifted])
    low = interval(fallen, seeds).low
    high = interval([fell or may for fell, may in zip(fallen, unknown, strict=True)], seeds).high
    most = True if low > 0.5 else False if high <= 0.5 else None
    said_unknown = f", unknown on {sum(unknown)}" if any(unknown) else ""
    found = f"fallen back on {sum(fallen)}{said_unknown} of {len(lifted)} on which the MPE's is above"
    return Part(setting, found, most)
