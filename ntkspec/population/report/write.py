"""Write the folder of a population's report, completely or not at all."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from ntkspec.errors import OutputError
from ntkspec.population.report.cohorts import cohorts_of
from ntkspec.population.report.labels import shown_labels
from ntkspec.population.report.reading import Failed, KeptPopulation, read_population
from ntkspec.population.report.to_csv import write_runs_csv, write_spectra_csv
from ntkspec.population.report.to_json import FORMAT, dumps
from ntkspec.report.folders import FolderKind, write_figures, write_file, write_text

PAGE, JSON, RUNS, SPECTRA = "index.html", "population.json", "runs.csv", "spectra.csv"
FOLDER = FolderKind(
    json=JSON,
    format=FORMAT,
    files=frozenset({PAGE, JSON, RUNS, SPECTRA}),
    figures=frozenset({"spectra", "metrics"}),
)


def check_folder(folder: Path) -> None:
    """Raise `OutputError` if `write_population` would refuse this folder; write nothing."""
    FOLDER.check(folder)


def write_population(
    reports: Iterable[Path], folder: Path, failures: Sequence[Failed] = (), broken: Sequence[str] = ()
) -> list[Path]:
    """Write a report that compares the runs of many report.json files.

    Reports are read one at a time, and only some kB of each are kept. A report that cannot be read is listed
    among the failures. The folder is written whole, or left as it was: it may be absent, empty, or one that
    this function wrote and to which nothing was added.

    Args:
        reports: report.json files, each of one run, which is named by its folder.
        folder: where index.html, population.json, runs.csv, spectra.csv and the figures go.
        failures: run files that could not be analysed, which the page lists.
        broken: bounds and checks of runs that do not hold, which the page lists, too.

    Returns:
        The files written, the page first.

    Raises:
        UsageError: no report could be read.
        OutputError: the folder holds something else, or cannot be written.

    Example:
        >>> import tempfile
        >>> write_population([], Path(tempfile.mkdtemp(), "population"))
        Traceback (most recent call last):
        ...
        ntkspec.errors.UsageError: reports of a population: expected a report.json with a run, got none; \
analyse the run files first
    """
    check_folder(folder)
    population = read_population(reports, failures, broken)
    return FOLDER.write(folder, lambda part: _fill(population, part))


def write_population_apart(
    reports: Sequence[Path], folder: Path, failures: Sequence[Failed], broken: Sequence[str]
) -> None:
    """Call `write_population` in another process: it needs much memory, and this one may run for days.

    Raises:
        OutputError: the other process failed, and has printed why.
    """
    arguments = pickle.dumps((reports, folder, failures, broken))
    words = [sys.executable, "-m", "ntkspec.population.report"]
    try:  # in a session of its own: Ctrl-C reaches this process alone, whose `run` then ends the other
        subprocess.run(words, input=arguments, check=True, start_new_session=True)
    except subprocess.CalledProcessError as error:
        raise OutputError(
            str(folder),
            expected="a report of all runs",
            got=f"an end with code {error.returncode}",
            remedy="see the line above; the results of the runs are kept",
        ) from None


def _fill(population: KeptPopulation, part: Path) -> list[str]:
    """Write all files into an empty folder; return their names in it, the page first."""
    from ntkspec.population.report.page import draw_all, render_page

    cohorts, labels = cohorts_of(population), shown_labels(population)
    write_text(part / JSON, dumps(population, cohorts))
    write_file(part / RUNS, lambda file: write_runs_csv(population, file))
    write_file(part / SPECTRA, lambda file: write_spectra_csv(cohorts, file))
    names, pictures = write_figures(part, draw_all(cohorts, labels), {})
    write_text(part / PAGE, render_page(population, cohorts, labels, pictures))
    return [PAGE, JSON, RUNS, SPECTRA, *names]
