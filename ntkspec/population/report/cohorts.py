"""Group runs of one label, at one snapshot and with kernels of one size, and compute their statistics."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntkspec.population.intervals import Interval, interval, median
from ntkspec.population.outcomes import indices
from ntkspec.population.report.enclosures import Enclosure, Values, agree, mean, quantile
from ntkspec.population.report.reading import KeptPopulation, KeptRun, KeptSnapshot, KeptSpectrum
from ntkspec.qualities import OF_SOME_PIXELS, PSNR_HELD_OUT, values_of
from ntkspec.report.compare import Known
from ntkspec.report.grouping import grouped
from ntkspec.report.style import Stage
from ntkspec.report.words import STATES, State

Counts = NDArray[np.int64]
QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class SpectrumStatistics:
    """Statistics over the runs of a cohort of one kernel's eigenvalues.

    The arrays have an entry for each eigenvalue index that is kept of a spectrum; further fields describe the
    smallest eigenvalue.
    """

    index: Counts  # (k,) from 1
    runs: int  # that have this kernel
    resolved: Counts  # (k,) how many runs
    zero: Counts  # (k,)
    unresolved: Counts  # (k,) unresolved or not computed
    mean: Enclosure  # arithmetic
    median: Enclosure
    lower_quartile: Enclosure
    upper_quartile: Enclosure
    smallest: tuple[Interval, Interval]  # the median of lambda_min at least, and at most; see `_smallest`
    stated: tuple[float, float]  # limits of the median of lambda_min that allow for stated errors
    smallest_at_most: float  # of the runs in which lambda_min is no number, the largest upper end
    states: Mapping[State, int]  # runs by what is known of lambda_min
    network_singular: int  # runs
    effective_rank: Interval | None  # the mean of those that are known

    @property
    def median_smallest(self) -> float | None:
        """Return the median of lambda_min, which may be 0; or None if its limits differ by more than 1%."""
        least, most = (interval.value for interval in self.smallest)
        return least / 2 + most / 2 if agree(least, most) else None


@dataclass(frozen=True)
class MetricStatistics:
    """Statistics of one metric over those runs of a cohort in which it is a finite number."""

    mean: Interval
    quantiles: tuple[float, ...]  # at `QUANTILES`


@dataclass(frozen=True, order=True)
class Kernels:
    """The properties in which kernels must agree for their eigenvalues to be compared."""

    size: int
    outputs: int
    mode: str


@dataclass(frozen=True)
class Cohort:
    """The runs of one label at one snapshot whose kernels may be compared."""

    label: str
    snapshot: str  # its name
    kernels: Kernels
    runs: int
    step: float  # the mean
    stage: Stage | None  # of most of the runs
    spectra: Mapping[str, SpectrumStatistics]
    metrics: Mapping[str, MetricStatistics]
    infinite: Mapping[str, int]  # metrics that are infinite in some runs: in how many
    held_out: frozenset[tuple[str, ...]]  # the sets of pixels that its runs held out, as far as is known
    not_averaged: tuple[str, ...]  # metrics that are of other pixels in some of its runs than in others


def cohorts_of(population: KeptPopulation) -> tuple[Cohort, ...]:
    """Return all cohorts, sorted by label, then by step and by number of runs, both in descending order."""
    members = grouped(
        ((run.label, snapshot.name, _kernels(run, snapshot)), (run, snapshot))
        for run in population.runs
        for snapshot in run.snapshots
    )
    cohorts = [_cohort(*key, of_cohort) for key, of_cohort in members.items()]
    place = {label: i for i, label in enumerate(population.examples)}
    return tuple(
        sorted(cohorts, key=lambda cohort: (place[cohort.label], -cohort.step, -cohort.runs, cohort.kernels))
    )


def at_stage(cohorts: Iterable[Cohort], label: str, stage: Stage) -> list[Cohort]:
    """Return the cohorts of a label at a stage of training, those with the most runs first.

    For the stage "end" there is at least one: if no cohort has that stage, the latest one is returned.
    """
    of_label = [cohort for cohort in cohorts if cohort.label == label]
    of_stage = [cohort for cohort in of_label if cohort.stage == stage]
    if stage == "end" and not of_stage:
        of_stage = [max(of_label, key=lambda cohort: cohort.step)]
    return sorted(of_stage, key=lambda cohort: -cohort.runs)


def _kernels(run: KeptRun, snapshot: KeptSnapshot) -> Kernels:
    return Kernels(snapshot.spectra["total"].size, run.outputs, run.mode)


def _cohort(
    label: str, name: str, kernels: Kernels, members: Sequence[tuple[KeptRun, KeptSnapshot]]
) -> Cohort:
    snapshots = [snapshot for _, snapshot in members]
    held_out = frozenset(
        run.held_out
        for run, snapshot in members
        if run.held_out is not None and PSNR_HELD_OUT.name in values_of(snapshot.metrics)
    )
    spectra = grouped(item for snapshot in snapshots for item in snapshot.spectra.items())
    metrics = grouped(item for snapshot in snapshots for item in values_of(snapshot.metrics).items())
    not_averaged = [metric for metric in OF_SOME_PIXELS if metric in metrics and len(held_out) > 1]
    averaged = {metric: values for metric, values in metrics.items() if metric not in not_averaged}
    finite = {metric: [value for value in values if value < math.inf] for metric, values in averaged.items()}
    with np.errstate(over="ignore", invalid="ignore"):  # numbers of foreign files may be as large as any
        return Cohort(
            label=label,
            snapshot=name,
            kernels=kernels,
            runs=len(snapshots),
            step=sum(snapshot.step for snapshot in snapshots) / len(snapshots),
            stage=Counter(snapshot.stage for snapshot in snapshots).most_common(1)[0][0],
            spectra={kernel: _of_spectra(group) for kernel, group in spectra.items()},
            metrics={metric: _of_metric(known) for metric, known in finite.items() if known},
            infinite={
                metric: count for metric, values in averaged.items() if (count := values.count(math.inf))
            },
            held_out=held_out,
            not_averaged=tuple(not_averaged),
        )


def _of_spectra(group: Sequence[KeptSpectrum]) -> SpectrumStatistics:
    low, high = (
        np.array(ends) for ends in zip(*((spectrum.low, spectrum.high) for spectrum in group), strict=True)
    )
    resolved, zero = np.count_nonzero(low, axis=0), np.count_nonzero(high == 0, axis=0)
    states = Counter(spectrum.state for spectrum in group)
    ranks = [spectrum.numbers["effective_rank"] for spectrum in group]
    known_ranks = [rank for rank in ranks if rank is not None and math.isfinite(rank)]
    unknown = high[:, -1][low[:, -1] < high[:, -1]]
    middle = quantile(low, high, 0.5)
    least, most = np.array([spectrum.stated for spectrum in group]).T[:, :, np.newaxis]
    stated = quantile(least, most, 0.5)
    return SpectrumStatistics(
        index=np.array(indices(group[0].size)),
        runs=len(group),
        resolved=resolved,
        zero=zero,
        unresolved=len(group) - resolved - zero,
        mean=mean(low, high),
        median=middle,
        lower_quartile=quantile(low, high, 0.25),
        upper_quartile=quantile(low, high, 0.75),
        smallest=_smallest(low[:, -1], high[:, -1], middle),
        stated=(float(stated.low[0]), float(stated.high[0])),
        smallest_at_most=float(unknown.max()) if unknown.size else 0.0,
        states={state: states[state] for state in STATES},
        network_singular=sum(spectrum.network_singular for spectrum in group),
        effective_rank=interval(known_ranks) if known_ranks else None,
    )


def _smallest(low: Values, high: Values, middle: Enclosure) -> tuple[Interval, Interval]:
    """Return medians of the lower and the upper limits of lambda_min, with intervals computed in log10."""
    with np.errstate(divide="ignore"):  # log10(0)
        decades = np.log10([low, high]).T.tolist()
    least, most = median([Known(*ends) for ends in decades])
    return _from_decades(least, middle.low), _from_decades(most, middle.high)


def _from_decades(decades: Interval, middle: Values) -> Interval:
    """Return the interval of a number from that of its log10; its value is the last entry of the medians."""
    low, high = np.power(10.0, [decades.low, decades.high]).tolist()
    return Interval(float(middle[-1]), low, high, decades.count)


def _of_metric(values: Sequence[float]) -> MetricStatistics:
    quantiles = np.quantile(np.array(values), QUANTILES)
    return MetricStatistics(interval(values), tuple(quantiles.tolist()))
