"""From numbers to verdicts: a claim is tried in several settings, and holds in all, in some or in none."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import pandas as pd

from analysis.paper.ratios import said
from ntkspec.population.intervals import Interval, interval, median
from ntkspec.report.compare import Known

FFES, MPES = ("ffe-low", "ffe-medium", "ffe-high"), ("mpe-coarse", "mpe-fine")
# What the paper finds an MPE to gain: decades of lambda_min, and quality.
OVER_BASELINE = {"lambda_min": 8.0, "psnr_db": 15.0, "ms_ssim": 0.65}
OVER_FFE = {"lambda_min": 2.0, "psnr_db": 12.0, "ms_ssim": 0.33}

LISTED = 4  # settings that are not resolved; more are "all others", or "most others"
STAGE_SAID = {"mid": ("mid",), "end": ()}  # as factors of a setting


@dataclass(frozen=True)
class Part:
    """A claim in one setting."""

    setting: tuple[str, ...]  # factors, such as preset, domain and stage
    found: str  # the numbers, with their interval
    holds: bool | None  # None: cannot be resolved

    @property
    def said(self) -> str:
        """Return the setting in words."""
        return _words(self.setting)


def _words(factors: Iterable[str]) -> str:
    return ", ".join(factors).replace(", over ", " over ")


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and what became of it."""

    letter: str
    text: str
    parts: tuple[Part, ...]
    remarks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Return whether it holds, where it does not, and where that cannot be resolved."""
        answers = [part.holds for part in self.parts]
        yes, no, most = answers.count(True), answers.count(False), len(answers) / 2
        if yes > most:
            said = "holds" + (f" except for {self._where(False)}" if no else "")
        elif yes:
            said = f"holds only for {self._where(True)}"
        elif no > most:
            said = "does not hold"
        elif no:
            said = f"does not hold for {self._where(False)}"
        else:
            return "cannot be resolved"
        if None not in answers:
            return said
        others = "most others" if yes and no else "all others"
        where = others if answers.count(None) > max(most, LISTED) else self._where(None)
        return f"{said}; cannot be resolved for {where}"

    def _where(self, holds: bool | None) -> str:
        """Return the settings of this answer: what they alone have in common, or each of them."""
        found = [part for part in self.parts if part.holds is holds]
        if len(found) > 1:
            ours, all_of_them = (
                set.intersection(*(set(p.setting) for p in some)) for some in (found, self.parts)
            )
            common = ours - all_of_them
            if common and found == [part for part in self.parts if common <= set(part.setting)]:
                return _words(factor for factor in found[0].setting if factor in common)
        return "; ".join(part.said for part in found)


def to_tree(claims: Iterable[Claim]) -> list[dict[str, Any]]:
    """Return claims and their verdicts as what JSON can hold."""
    return [{**asdict(claim), "verdict": claim.verdict} for claim in claims]


def in_words(claims: Iterable[Claim]) -> str:
    """Return claims, their verdicts and what was found in every setting, as lines for a terminal."""
    lines = []
    for claim in claims:
        lines += [f"({claim.letter}) {claim.text}", f"    {claim.verdict}"]
        lines += [f"    {part.said}: {part.found}" for part in claim.parts]
    return "\n".join(lines)


def at_least(found: Interval | Known | None, claimed: float) -> bool | None:
    """Return whether a number reaches what is claimed: all of its interval, or none; else None."""
    if found and found.low >= claimed:
        return True
    return False if found and found.high < claimed else None


def majority(share: Interval | Known | None) -> bool | None:
    """Return whether a share of the items is more than half; see `at_least`."""
    if share and share.low > 0.5:
        return True
    return False if share and share.high <= 0.5 else None


def opposite(answer: bool | None) -> bool | None:
    """Return the other answer; what is not resolved stays so."""
    return None if answer is None else not answer


@dataclass(frozen=True)
class Population:
    """A study whose items all have the runs that are compared."""

    runs: pd.DataFrame  # of outcomes, see `runs_of`
    domain: str  # "pictures" or "meshes"

    @functools.cached_property
    def packs(self) -> pd.Series:
        """Return a number for each item, the same for items whose networks started from the same seeds."""
        seeds = self.runs.map(attrgetter("seed"), na_action="ignore")
        return seeds.groupby(list(seeds), sort=False, dropna=False).ngroup()

    def mean(self, values: pd.Series) -> Interval | None:
        """Return the mean over the items that have a number, with its interval; None if no item has one."""
        known = values.dropna()
        return None if known.empty else interval(known, self.packs[known.index])

    def median(self, known: pd.Series, unit: str = "") -> tuple[str, Known]:
        """Return the median over items in words, see `said`, and what it is at least and at most."""
        least, most = median(known, self.packs[known.index])
        return said(least, most, unit), Known(least.low, most.high)
