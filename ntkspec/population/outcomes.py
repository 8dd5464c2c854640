"""What a run came to, small enough to keep: metrics, thinned spectra, lambda_min, certified bounds, slack."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ntkspec.errors import UsageError
from ntkspec.report.thinning import thinned

POINTS = 48  # of a kept spectrum, evenly spaced on a log axis
TAIL = 8  # further ones 1, 2, 4, ... before the end, where spectra fall off
SLACK = ("least", "median", "share", "compared")  # of Theorem 1


@dataclass(frozen=True)
class Curve:
    """One spectrum. Values that are not resolved are None, those beyond an exact rank are 0.

    Exact is a rank of the stored numbers, or by its activation regions one of the network.
    """

    values: tuple[float | None, ...]  # at `indices(size)`
    size: int
    resolved: int
    floor: float
    lambda_max: float | None
    lambda_min: float | None  # 0: exactly singular; None: not resolved, between 0 and `floor`
    rank_at_most: int
    trace: float
    effective_rank: float | None
    method: str


@dataclass(frozen=True)
class Stage:
    """One snapshot of a run."""

    step: int
    metrics: Mapping[str, float]
    spectra: Mapping[str, Curve]  # "total"; "no_grid" and "grid" of a multigrid
    certified: tuple[float, float] | None  # of lambda_min of the total
    lower: Mapping[str, float]  # what each lower bound says of the total's lambda_min
    slack: Mapping[str, float] | None  # of Theorem 1, in decades: "least", "median", "share" below 0.01
    bounds: int  # how many were held against the spectra
    broken: tuple[str, ...]  # those, and checks, that do not hold

    def metric(self, name: str) -> float:
        """Return one metric.

        Raises:
            UsageError: it was not measured, such as the PSNR of a picture that is learnt without any error.
        """
        if name not in self.metrics:
            raise UsageError(
                "metrics of a run",
                expected=name,
                got=", ".join(self.metrics) or "none",
                remedy="see that every study is where it belongs, and leave out what has no such number",
            )
        return self.metrics[name]


@dataclass(frozen=True)
class Outcome:
    """One run: a picture or mesh, and a configuration."""

    item: str
    name: str  # of the run file: a preset, or a setting of a sweep
    label: str
    config: Mapping[str, Any]
    samples: int
    parameters: int
    stages: Mapping[str, Stage]  # "mid" and "end"
    made: Mapping[str, Any]  # machine, versions and commit of the analysis; see `made_by`

    @property
    def seed(self) -> int:
        """Return the seed from which its network was trained, as those of other items may have been."""
        return int(self.config.get("seed", 0))

    @property
    def end(self) -> Stage:
        """Return the last snapshot.

        Raises:
            UsageError: there is none of this name.
        """
        if "end" not in self.stages:
            raise UsageError(
                f"{self.item}, {self.name}",
                expected="a snapshot end",
                got=", ".join(self.stages) or "none",
                remedy="let the study make the run again",
            )
        return self.stages["end"]


def indices(size: int) -> list[int]:
    """Return which of `size` eigenvalues are kept, from 1: even on a log axis, and more at the end."""
    last = {size - 2**k + 1 for k in range(TAIL) if 2**k < size}
    return sorted({int(i) for i in thinned(size, POINTS)} | last)


def from_dict(content: Mapping[str, Any]) -> Outcome:
    """Return an outcome from what `dataclasses.asdict` made of it.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is not of an outcome, or some number is none.
    """
    stages = {}
    for label, stage in content["stages"].items():
        curves = {
            name: Curve(**{**curve, "values": tuple(curve["values"])})
            for name, curve in stage["spectra"].items()
        }
        certified = tuple(stage["certified"]) if stage["certified"] else None
        stages[label] = Stage(
            **{**stage, "spectra": curves, "certified": certified, "broken": tuple(stage["broken"])}
        )
    found = Outcome(**{**content, "stages": stages})
    _check(found)
    return found


def _check(found: Outcome) -> None:
    """That what was read has the shapes and the numbers of an outcome; ValueError or such if not."""
    _numbers([found.samples, found.parameters, found.seed])
    for stage in found.stages.values():
        if "total" not in stage.spectra:
            raise ValueError("no spectrum of the total")
        _numbers([stage.step, stage.bounds, *stage.metrics.values(), *stage.lower.values()])
        _numbers([*(stage.certified or ()), *(stage.slack[key] for key in SLACK if stage.slack)])
        for curve in stage.spectra.values():
            if len(curve.values) != len(indices(curve.size)):
                raise ValueError(f"{len(curve.values)} values of a spectrum of {curve.size}")
            known = [value for value in (*curve.values, curve.lambda_min) if value is not None]
            _numbers([*known, curve.floor], least=0.0)


def _numbers(values: Iterable[Any], least: float = -math.inf) -> None:
    for value in values:
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= least):
            raise ValueError(f"{value!r} where a number belongs")
