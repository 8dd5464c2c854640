"""Write a population as population.json: format "ntkspec-population", version 1.

NaN and Infinity are written as null. Fields may be added later; none is removed or changes its meaning.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict

from ntkspec._version import PRODUCER
from ntkspec.population.intervals import FEW, Interval
from ntkspec.population.report.cohorts import QUANTILES, Cohort, MetricStatistics, SpectrumStatistics
from ntkspec.population.report.enclosures import Enclosure
from ntkspec.population.report.reading import KeptPopulation
from ntkspec.report.to_json import plain

FORMAT = "ntkspec-population"
VERSION = 1


def dumps(population: KeptPopulation, cohorts: Sequence[Cohort]) -> str:
    """Return the text of population.json; "format" comes first, one cohort to a line."""
    runs = Counter(run.label for run in population.runs)
    head = {
        "format": FORMAT,
        "version": VERSION,
        "created": population.created,
        "producer": PRODUCER,
        "labels": [{"label": label, "runs": runs[label]} for label in population.examples],
        "runs": [{"folder": run.folder, "path": run.path, "label": run.label} for run in population.runs],
        "failures": [asdict(failure) for failure in population.failures],
        "broken": list(population.broken),
    }
    lines = ",\n".join(json.dumps(plain(_cohort(cohort)), allow_nan=False) for cohort in cohorts)
    return f'{json.dumps(head, allow_nan=False)[:-1]},\n"cohorts": [\n{lines}\n]}}\n'


def _cohort(cohort: Cohort) -> dict[str, object]:
    """Return a cohort as a tree with arrays and infinite numbers, of which `plain` makes JSON values."""
    return {
        "label": cohort.label,
        "snapshot": cohort.snapshot,
        "stage": cohort.stage,
        "step": cohort.step,
        **asdict(cohort.kernels),
        "runs": cohort.runs,
        "metrics": {name: _metric(statistics) for name, statistics in cohort.metrics.items()},
        "infinite": cohort.infinite,  # by metric: in how many runs, which "metrics" leaves out
        "not_averaged": list(cohort.not_averaged),  # of other pixels in other runs; in neither of these two
        "spectra": {name: _spectrum(statistics) for name, statistics in cohort.spectra.items()},
    }


def _metric(statistics: MetricStatistics) -> dict[str, object]:
    shares = [f"{share:g}" for share in QUANTILES]
    return {
        "mean": _interval(statistics.mean),
        "quantiles": dict(zip(shares, statistics.quantiles, strict=True)),
    }


def _spectrum(statistics: SpectrumStatistics) -> dict[str, object]:
    least, most = statistics.smallest
    return {
        "runs": statistics.runs,
        "lambda_min": {
            **{state.replace(" ", "_"): runs for state, runs in statistics.states.items()},
            "median": statistics.median_smallest,
            "median_at_least": _interval(least),
            "median_at_most": _interval(most),
            "network_singular": statistics.network_singular,
        },
        "effective_rank": _interval(statistics.effective_rank) if statistics.effective_rank else None,
        "index": statistics.index,
        "resolved": statistics.resolved,
        "zero": statistics.zero,
        "unresolved": statistics.unresolved,
        "mean": _enclosure(statistics.mean),
        "median": _enclosure(statistics.median),
        "lower_quartile": _enclosure(statistics.lower_quartile),
        "upper_quartile": _enclosure(statistics.upper_quartile),
    }


def _enclosure(statistic: Enclosure) -> dict[str, object]:
    return {"at_least": statistic.low, "at_most": statistic.high}


def _interval(estimate: Interval) -> dict[str, object]:
    """Return a statistic as JSON values, with the number of runs (`count`) and its interval.

    low and high are the ends of a bootstrap interval (95%) or, for fewer than `FEW` runs, the least and the
    largest value; for a single run they are null. interval names which: "bootstrap", "range" or null.
    """
    if estimate.count == 1:
        return {**asdict(estimate), "low": None, "high": None, "interval": None}
    return {**asdict(estimate), "interval": "bootstrap" if estimate.count >= FEW else "range"}
