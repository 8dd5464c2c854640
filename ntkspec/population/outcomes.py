"""Analyse a run file and reduce the result to its outcome of a few kB: thinned spectra, metrics, bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkspec.errors import UsageError
from ntkspec.population.kept import ResultKind, is_of
from ntkspec.population.made_by import made_by
from ntkspec.report.records import SnapshotReport
from ntkspec.report.thinning import thinned
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.spectral import Spectrum
from ntkspec.store import open_run

POINTS = 48  # of a kept spectrum, evenly spaced on a log axis
TAIL = 8  # further points 1, 2, 4, ... before the end, where spectra fall off
SLACK = ("least", "median", "share", "compared")  # of Theorem 1
VERSION = 3  # of outcomes; to be raised when the analysis changes: then all is analysed anew
DIGITS = 5  # of every number that is kept


@dataclass(frozen=True)
class Curve:
    """A thinned spectrum. Values that are not resolved are None, those beyond a proved rank are 0.

    The rank is that of the stored numbers or, proved by its activation regions, that of the network.
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
    """The outcome of one snapshot of a run."""

    step: int
    metrics: Mapping[str, float]
    spectra: Mapping[str, Curve]  # "total", and with a multigrid "no_grid" and "grid"
    certified: tuple[float, float] | None  # bounds on lambda_min of the total
    lower: Mapping[str, float]  # the lower bounds on lambda_min of the total, by name
    slack: Mapping[str, float] | None  # of Theorem 1, in decades: "least", "median", "share" below 0.01
    bounds: int  # how many were compared with the spectra
    broken: tuple[str, ...]  # bounds and checks that do not hold

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
    """The outcome of one run: of one configuration, trained on one picture or mesh."""

    item: str  # the picture or mesh
    name: str  # of the run file: a preset, or a setting of a sweep
    label: str
    config: Mapping[str, Any]
    samples: int
    parameters: int
    stages: Mapping[str, Stage]  # by label: "mid" and "end"
    made: Mapping[str, Any]  # machine, versions and commit of the analysis; see `made_by`

    @property
    def seed(self) -> int:
        """Return the seed of the training, which several items may share."""
        return int(self.config.get("seed", 0))

    @property
    def end(self) -> Stage:
        """Return the snapshot "end".

        Raises:
            UsageError: there is none.
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
    """Return the indices, from 1, of the eigenvalues that are kept.

    They are evenly spaced on a log axis, with more of them near the smallest eigenvalue.

    Example:
        >>> indices(5)
        [1, 2, 3, 4, 5]
    """
    last = {size - 2**k + 1 for k in range(TAIL) if 2**k < size}
    return sorted({int(i) for i in thinned(size, POINTS)} | last)


def from_dict(content: Mapping[str, Any]) -> Outcome:
    """Return the outcome from which `dataclasses.asdict` made these values.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: they are not an outcome's, or a number is missing.
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
    outcome = Outcome(**{**content, "stages": stages})
    _check(outcome)
    return outcome


def _check(outcome: Outcome) -> None:
    """Raise `ValueError` or the like unless shapes and numbers are those of an outcome."""
    _check_numbers([outcome.samples, outcome.parameters, outcome.seed])
    for stage in outcome.stages.values():
        if "total" not in stage.spectra:
            raise ValueError("no spectrum of the total")
        _check_numbers([stage.step, stage.bounds, *stage.metrics.values(), *stage.lower.values()])
        _check_numbers([*(stage.certified or ()), *(stage.slack[key] for key in SLACK if stage.slack)])
        for curve in stage.spectra.values():
            if len(curve.values) != len(indices(curve.size)):
                raise ValueError(f"{len(curve.values)} values of a spectrum of {curve.size}")
            numbers = [value for value in (*curve.values, curve.lambda_min) if value is not None]
            _check_numbers([*numbers, curve.floor], least=0.0)


def _check_numbers(values: Iterable[object], least: float = -math.inf) -> None:
    for value in values:
        if not (isinstance(value, int | float) and math.isfinite(value) and value >= least):
            raise ValueError(f"{value!r} where a number belongs")


def outcome(run_file: Path) -> Outcome:
    """Analyse every snapshot of a run file as `python -m ntkspec.analyze` does, and return its outcome."""
    run = analyze_run(run_file, RunSettings(backend="cpu"))
    return Outcome(
        item=run_file.parent.name,
        name=run_file.stem,
        label=run.label,
        config={key: value for key, value in run.config.items() if key != "training"},
        samples=run.samples,
        parameters=_parameters(run_file),
        stages={snapshot.label: _stage(snapshot) for snapshot in run.snapshots},
        made=made_by(),
    )


def _parameters(run_file: Path) -> int:
    """Count the parameters of the last snapshot."""
    with open_run(run_file) as run:
        return sum(math.prod(block.widths) for block in run.snapshots[-1].jacobian)


def _stage(snapshot: SnapshotReport) -> Stage:
    enclosure = [b.bound for b in snapshot.bounds if b.bound.certified and b.of == "total"]
    sides = {bound.side: float(bound.values[0]) for bound in enclosure}
    return Stage(
        step=snapshot.step,
        metrics={name: short(value) for name, value in snapshot.metrics.items()},
        spectra={name: curve_of(spectrum) for name, spectrum in snapshot.spectra.items()},
        lower={
            b.bound.name: short(b.bound.values[-1])
            for b in snapshot.bounds
            if b.of == "total" and b.bound.side == "lower" and math.isfinite(b.bound.values[-1])
        },
        certified=(sides["lower"], sides["upper"]) if len(sides) == 2 else None,
        slack=_slack(snapshot.spectra),
        bounds=len(snapshot.bounds),
        broken=(
            *(f"{b.bound.name} of {b.of}" for b in snapshot.bounds if not b.holds),
            *(f"{check.name} of {check.of}" for check in snapshot.checks if not check.holds),
        ),
    )


def curve_of(spectrum: Spectrum) -> Curve:
    """Reduce a spectrum to a few of its eigenvalues; see `Curve`.

    Eigenvalues beyond a proved upper bound on the rank, of the stored numbers or of the network's kernel,
    become 0.
    """
    claims = [spectrum.rank, spectrum.regions if spectrum.network_singular else None]
    limit = min((claim.at_most for claim in claims if claim), default=spectrum.size)
    values = [
        short(spectrum.eigenvalues[i - 1]) if i <= spectrum.resolved else 0.0 if i > limit else None
        for i in indices(spectrum.size)
    ]
    smallest = 0.0 if limit < spectrum.size else spectrum.lambda_min
    return Curve(
        values=tuple(values),
        size=spectrum.size,
        resolved=spectrum.resolved,
        floor=short(spectrum.floor if smallest else min(spectrum.floor, spectrum.smallest_at_most)),
        lambda_max=None if spectrum.lambda_max is None else short(spectrum.lambda_max),
        lambda_min=None if smallest is None else short(smallest),
        rank_at_most=limit,
        trace=short(spectrum.trace),
        effective_rank=None if spectrum.effective_rank is None else short(spectrum.effective_rank),
        method=spectrum.method,
    )


def _slack(spectra: Mapping[str, Spectrum]) -> dict[str, float] | None:
    """Return by how many decades eigenvalues exceed their lower bounds, those without the grid's gradients.

    This is log10 of lambda_i(total) / lambda_i(no_grid) at all i at which both are resolved: the least, the
    median, the share of those below 0.01, and how many there are. Return None if there are none.
    """
    if "no_grid" not in spectra:
        return None
    total, no_grid = spectra["total"], spectra["no_grid"]
    both = slice(0, min(total.resolved, no_grid.resolved))
    if not both.stop:
        return None
    decades = np.log10(total.eigenvalues[both] / no_grid.eigenvalues[both])
    share = float(np.mean(decades < 0.01))
    return {
        "least": short(decades.min()),
        "median": short(np.median(decades)),
        "share": short(share),
        "compared": both.stop,
    }


def short(value: float) -> float:
    """Round to `DIGITS` significant digits."""
    return float(f"{float(value):.{DIGITS}g}")


def known_range(curve: Curve) -> tuple[float, float]:
    """Return the least and the largest value that lambda_min may have.

    Both are lambda_min itself if it is known; otherwise they are 0 and the floor.
    """
    if curve.lambda_min is None:
        return 0.0, curve.floor
    return curve.lambda_min, curve.lambda_min


OUTCOMES: ResultKind[Outcome] = ResultKind(
    name="outcome",
    title="an outcome",
    version=VERSION,
    make=outcome,
    to_tree=asdict,
    from_tree=from_dict,
    belongs=is_of,
)
