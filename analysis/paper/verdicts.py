"""From numbers to verdicts: a claim is tried in several settings, and holds in all, in some or in none."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ntkspec.population.groups import by_item
from ntkspec.population.intervals import Interval, interval
from ntkspec.population.outcomes import Outcome

FFES, MPES = ("ffe-low", "ffe-medium", "ffe-high"), ("mpe-coarse", "mpe-fine")
# What the paper finds an MPE to gain: decades of lambda_min, and quality.
OVER_BASELINE = {"lambda_min": 8.0, "psnr_db": 15.0, "ms_ssim": 0.65}
OVER_FFE = {"lambda_min": 2.0, "psnr_db": 12.0, "ms_ssim": 0.33}

LISTED = 4  # settings that are not resolved; more are "all others"
STAGE_SAID = {"mid": ("mid",), "end": ()}  # as factors of a setting

Score = Callable[[dict[str, Outcome]], float]  # of an item, from its outcomes by name


@dataclass(frozen=True)
class Part:
    """A claim in one setting."""

    setting: tuple[str, ...]  # factors, such as preset, domain and stage
    found: str  # the numbers, with their interval
    holds: bool | None  # None: cannot be resolved

    @property
    def said(self) -> str:
        """The setting in words."""
        return _words(self.setting)


def _shared(parts: Iterable[Part]) -> set[str]:
    return set.intersection(*(set(part.setting) for part in parts))


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
        """holds (except for ...), holds only for ..., does not hold (for ...), or cannot be resolved."""
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
        where = "all others" if answers.count(None) > max(most, LISTED) else self._where(None)
        return f"{said}; cannot be resolved for {where}"

    def _where(self, holds: bool | None) -> str:
        """The settings of this answer: what they alone have in common, or each of them."""
        found = [part for part in self.parts if part.holds is holds]
        if len(found) > 1:
            common = _shared(found) - _shared(self.parts)
            if common and found == [part for part in self.parts if common <= set(part.setting)]:
                return _words(factor for factor in found[0].setting if factor in common)
        return "; ".join(part.said for part in found)


def at_least(found: Interval, claimed: float) -> bool | None:
    """Whether a mean reaches what is claimed: by the whole interval, or by none of it."""
    if found.low >= claimed:
        return True
    return False if found.high < claimed else None


@dataclass(frozen=True)
class Population:
    """Outcomes of a study by item and name."""

    outcomes: Sequence[Outcome]
    domain: str  # "pictures" or "meshes"

    def items(self, *names: str) -> list[dict[str, Outcome]]:
        """For each item that has all these names, its outcomes by name."""
        return [runs for runs in by_item(self.outcomes).values() if set(names) <= set(runs)]

    def seeds(self, items: Sequence[dict[str, Outcome]]) -> list[int]:
        """A number for each item: the same for items whose networks all started from the same seeds."""
        keys = [sorted((name, run.seed) for name, run in runs.items()) for runs in items]
        return [keys.index(key) for key in keys]

    def mean(self, items: Sequence[dict[str, Outcome]], score: Score) -> Interval | None:
        """Of the items of which the score is a finite number; None if it is of no one."""
        known = [item for item in items if math.isfinite(score(item))]
        return interval([score(item) for item in known], self.seeds(known)) if known else None

    def gain(self, metric: str, name: str, over: Score, *others: str) -> Interval:
        """By how much a metric of a preset exceeds `over` of the same item, at the end of training."""
        items = self.items(name, *others)
        return interval([item[name].end.metric(metric) - over(item) for item in items], self.seeds(items))


def metric_of(name: str, metric: str) -> Score:
    """That preset's metric at the end."""
    return lambda item: item[name].end.metric(metric)


def best_of(names: Sequence[str], metric: str) -> Score:
    """The best of these presets', item by item."""
    return lambda item: max(item[name].end.metric(metric) for name in names)
