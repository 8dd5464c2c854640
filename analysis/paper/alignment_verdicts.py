"""What `alignment.py` measured, judged by rules that were written down before any number was seen.

Of each picture, Kendall's tau over the six presets, of a number of the kernel with the PSNR at the end of
training. A number's sign is that which would be good: little of the picture beyond the leading 128 modes, few
modes for 90% of it, a large lambda_min, a kernel far from that at init; so tau is 1 where the better number
always has the better PSNR. Of what lies between two ends, as a lambda_min that is not resolved, ranges that
overlap are ties. Over pictures, the mean of tau with its interval, as in `claims.py`.

A claim holds, in a setting, if the whole interval is 0.6 or more: of the fifteen pairs of presets twelve or
more are in order. It does not hold if all of it is less, and cannot be resolved otherwise. Of one preset,
tau is over the pictures that were trained together, and mean and interval are over these packs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from operator import attrgetter

import numpy as np
import pandas as pd

from analysis.paper.claims_of_quality import Ranges, tau_b
from analysis.paper.drawing import NAMES
from analysis.paper.held_out import HELD_OUT, LEARNT
from analysis.paper.tables import markdown, mean, runs_of
from analysis.paper.verdicts import Claim, Part, Population, at_least
from ntkspec.population.aligned import LEADING, Aligned
from ntkspec.population.intervals import Interval, interval

STAGES = ("init", "mid", "end")
QUALITY = {LEARNT: "pixels learnt", HELD_OUT: "pixels held out"}
GOOD = {"beyond": -1, "modes": -1, "lambda_min": 1, "distance": 1}  # the sign that a good number has
TITLES = {
    "beyond": f"share beyond {LEADING} modes",
    "modes": "modes for 90%",
    "lambda_min": "lambda_min",
    "distance": "kernel distance from init",
}
GOES = 0.6  # Kendall's tau from which on a number goes with quality
Runs = Sequence[Aligned]


def all_claims(runs: Runs) -> Iterator[Claim]:
    """Weigh (j) to (m), which are ours and not the paper's."""
    which = "which network draws a picture better"
    yield _over_presets(runs, "j", f"alignment at init predicts {which}", "beyond", ("init",))
    yield _over_presets(
        runs, "k", f"alignment in the middle and at the end goes with {which}", "beyond", ("mid", "end")
    )
    yield _over_presets(runs, "l", f"lambda_min at the end goes with {which}", "lambda_min", ("end",))
    yield _over_pictures(runs)


def _over_presets(runs: Runs, letter: str, text: str, number: str, stages: Iterable[str]) -> Claim:
    parts = [
        _part((stage, pixels), tau_of_presets(runs, number, stage, metric))
        for stage, (metric, pixels) in product(stages, QUALITY.items())
    ]
    return Claim(letter, f"{text} ({TITLES[number]}; Kendall's tau of {GOES} or more)", tuple(parts))


def _over_pictures(runs: Runs) -> Claim:
    parts = [
        _part((NAMES[name], pixels), tau_of_pictures(runs, name, metric))
        for name, (metric, pixels) in product(NAMES, QUALITY.items())
    ]
    text = "alignment at init predicts which picture a network draws better"
    return Claim("m", f"{text} ({TITLES['beyond']}; Kendall's tau of {GOES} or more)", tuple(parts))


def _part(setting: tuple[str, ...], found: Interval | None) -> Part:
    if found is None:
        return Part(setting, "no order: none are told apart", None)
    return Part(setting, f"tau {found}", at_least(found, GOES))


def tau_of_presets(runs: Runs, number: str, stage: str, metric: str) -> Interval | None:
    """Return the mean over pictures of tau over presets; None where no picture's presets are told apart."""
    study = Population(runs_of(runs)[list(NAMES)], "pictures")
    return study.mean(study.runs.apply(_tau, axis=1, args=(number, stage, metric)))


def tau_of_pictures(runs: Runs, name: str, metric: str) -> Interval | None:
    """Return the mean over packs of tau over a pack's pictures, at init behind one preset; None as above."""
    group = runs_of(runs)[name]
    packs = group.groupby(group.map(attrgetter("seed")))
    known = pd.Series({seed: _tau(pack, "beyond", "init", metric) for seed, pack in packs}).dropna()
    return interval(known) if len(known) else None


def _tau(group: Runs, number: str, stage: str, metric: str) -> float:
    good = _ranges(group, number, stage)
    scores = np.array([[each.metrics[metric]] * 2 for each in group])
    return tau_b(good if GOOD[number] > 0 else -good[:, ::-1], scores)


def _ranges(group: Runs, number: str, stage: str) -> Ranges:
    """Return (runs, 2): between what the number lies."""
    return np.array([each.snapshots[stage][number] for each in group], dtype=np.float64)


def taus(runs: Runs) -> str:
    """Return Kendall's tau with both qualities, of every number at every stage, in Markdown."""
    rows = {}
    for number, stage in product(GOOD, STAGES):
        if (number, stage) == ("distance", "init"):  # it is 0
            continue
        found = {pixels: tau_of_presets(runs, number, stage, metric) for metric, pixels in QUALITY.items()}
        rows[f"{TITLES[number]}, {stage}"] = {pixels: str(tau or "-") for pixels, tau in found.items()}
    return markdown(rows, "tau over presets of PSNR with")


def table(runs: Runs) -> str:
    """Return the numbers of each preset, as medians over pictures, and its PSNR, in Markdown."""
    rows, through = {}, " / ".join(STAGES)
    for name, group in runs_of(runs)[list(NAMES)].items():
        learnt, held_out = (
            mean(group.map(lambda run, key=metric: run.metrics[key]), group.map(attrgetter("seed")))
            for metric in QUALITY
        )
        beyond = [_shown(100 * _ranges(group, "beyond", stage), ".2g") for stage in STAGES]
        modes = [_shown(_ranges(group, "modes", stage), ".0f") for stage in STAGES]
        distance = [_shown(_ranges(group, "distance", stage), ".2f") for stage in STAGES[1:]]
        rows[NAMES[name]] = {
            "learnt, dB": learnt,
            "held out, dB": held_out,
            f"% beyond {LEADING} modes, {through}": " / ".join(beyond),
            f"modes for 90%, {through}": " / ".join(modes),
            "kernel distance, mid / end": " / ".join(distance),
            "lambda_min, end": _shown(_ranges(group, "lambda_min", "end"), ".1e"),
        }
    return markdown(rows, "network")


def _shown(ranges: Ranges, form: str) -> str:
    """Return the median of what numbers are at least and at most."""
    low, high = (format(end, form) if end else "0" for end in np.median(ranges, axis=0))
    return low if low == high else f"{low} to {high}"
