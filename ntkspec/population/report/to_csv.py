"""Write a population as CSV tables: a row for each kernel of each run, and for each index of each cohort."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TextIO

from ntkspec.population.report.cohorts import Cohort, SpectrumStatistics
from ntkspec.population.report.enclosures import Enclosure
from ntkspec.population.report.reading import KeptPopulation, KeptRun, KeptSnapshot
from ntkspec.report.to_csv import cell, text, write_table

NUMBERS = (  # of `ntkspec.report.to_csv.kernel_numbers`, in the order of the table
    "size", "resolved", "zero", "floor", "lambda_max", "lambda_min", "lambda_min_at_most", "condition",
    "trace", "effective_rank", "stable_rank", "kernel_distance", "modes_for_90_percent",
    "share_beyond_128_modes", "kernel_target_alignment",
)  # fmt: skip
RUN_COLUMNS = (
    "folder", "path", "label", "snapshot_id", "snapshot", "step", "spectrum", *NUMBERS, "method", "precision",
    "backend",
)  # fmt: skip
SPECTRUM_COLUMNS = (
    "label", "snapshot", "spectrum", "size", "outputs", "mode", "runs", "index", "resolved", "zero",
    "unresolved", "mean", "mean_at_least", "mean_at_most", "median", "median_at_least", "median_at_most",
    "lower_quartile_at_least", "lower_quartile_at_most", "upper_quartile_at_least", "upper_quartile_at_most",
)  # fmt: skip


def write_runs_csv(population: KeptPopulation, file: TextIO) -> None:
    """Write a row for each kernel at each snapshot of each run to an open text file (newline="").

    The numbers and the snapshot's name are those of snapshots.csv in a report of the run, `metric.<name>`
    is a metric of the snapshot. What is not known is empty. Text is quoted, and written so that no
    spreadsheet takes it for a formula; see `ntkspec.report.to_csv.text`.
    """
    snapshots = [(run, snapshot) for run in population.runs for snapshot in run.snapshots]
    metrics = sorted({name for _, snapshot in snapshots for name in snapshot.metrics})
    columns = (*RUN_COLUMNS, *(text(f"metric.{name}") for name in metrics))
    write_table(file, columns, (row for of in snapshots for row in _rows(*of, metrics)))


def _rows(run: KeptRun, snapshot: KeptSnapshot, metrics: Sequence[str]) -> Iterator[list[float | str]]:
    head: list[float | str] = [
        text(name) for name in (run.folder, run.path, run.label, snapshot.id, snapshot.name)
    ]
    tail = [_cell(snapshot.metrics.get(name)) for name in metrics]
    for name, spectrum in snapshot.spectra.items():
        numbers = (_cell(spectrum.numbers[column]) for column in NUMBERS)
        of_spectrum = [text(name), *numbers, text(spectrum.method), text(spectrum.precision), run.backend]
        yield [*head, snapshot.step, *of_spectrum, *tail]


def write_spectra_csv(cohorts: Sequence[Cohort], file: TextIO) -> None:
    """Write a row for each kept index of each kernel of each cohort to an open text file (newline="").

    resolved, zero and unresolved count the runs in which that eigenvalue is so. A statistic lies between
    `..._at_least` and `..._at_most`; mean and median are empty where these differ by more than 1%. The mean
    is arithmetic, medians and quartiles are those of `enclosures.quantile`.
    """
    write_table(file, SPECTRUM_COLUMNS, (row for cohort in cohorts for row in _spectra(cohort)))


def _spectra(cohort: Cohort) -> Iterator[Sequence[object]]:
    of_cohort = (cohort.kernels.size, cohort.kernels.outputs, text(cohort.kernels.mode))
    for name, statistics in cohort.spectra.items():
        head = (text(cohort.label), text(cohort.snapshot), text(name), *of_cohort, statistics.runs)
        for row in _statistics(statistics):
            yield (*head, *row)


def _statistics(statistics: SpectrumStatistics) -> Iterator[tuple[float | str, ...]]:
    counts = [statistics.index, statistics.resolved, statistics.zero, statistics.unresolved]
    columns = [array.tolist() for array in counts]
    columns += [*_with_number(statistics.mean), *_with_number(statistics.median)]
    for quartile in (statistics.lower_quartile, statistics.upper_quartile):
        columns += [quartile.low.tolist(), quartile.high.tolist()]
    for row in zip(*columns, strict=True):
        yield tuple(map(_cell, row))


def _with_number(statistic: Enclosure) -> list[list[float]]:
    return [statistic.numbers.tolist(), statistic.low.tolist(), statistic.high.tolist()]


def _cell(number: float | None) -> float | str:
    return cell(number if number is not None and math.isfinite(number) else None)
