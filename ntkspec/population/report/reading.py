"""Read report.json files one at a time, and keep only what the report of a population needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import ReportFileError, UsageError
from ntkspec.population.outcomes import indices
from ntkspec.report import words
from ntkspec.report.from_json import read_report
from ntkspec.report.names import named_snapshots
from ntkspec.report.records import Report, RunReport, SnapshotReport
from ntkspec.report.style import Stage, stages
from ntkspec.report.targets import held_out_pixels
from ntkspec.report.to_csv import kernel_numbers
from ntkspec.report.words import State
from ntkspec.spectral import Spectrum

_OF_KIND = ("encoding", "preset")  # entries of a config that say what kind of run it is


@dataclass(frozen=True)
class Failed:
    """A run file that could not be analysed, or a report.json that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, eq=False)
class KeptSpectrum:
    """A thinned spectrum: a lower and an upper limit of each eigenvalue that is kept.

    Both limits are the eigenvalue itself if it is resolved, and 0 if it is exactly zero. If it is unresolved,
    the lower limit is 0, and the upper limit is the floor or a bound that activation regions prove.
    """

    low: NDArray[np.float64]  # (k,) at `ntkspec.population.outcomes.indices(size)`
    high: NDArray[np.float64]  # (k,)
    stated: tuple[float, float]  # limits of the last eigenvalue; of a number, by its stated error
    state: State  # of the last eigenvalue
    network_singular: bool  # by activation regions, in exact arithmetic
    numbers: Mapping[str, float | None]  # by column, see `ntkspec.report.to_csv.kernel_numbers`
    method: str
    precision: str

    @property
    def size(self) -> int:
        """Return N, the size of the kernel."""
        return int(self.numbers["size"] or 0)


@dataclass(frozen=True)
class KeptSnapshot:
    """The record that is kept of one snapshot of a run."""

    id: str
    name: str  # the label, or the id where the label is empty or shared
    step: int
    stage: Stage | None  # of training; None: between those that stand for one
    metrics: Mapping[str, float]  # the finite ones
    spectra: Mapping[str, KeptSpectrum]


@dataclass(frozen=True)
class KeptRun:
    """The record that is kept of one run."""

    folder: str  # name of the folder of its report
    path: str  # of the run file
    label: str
    outputs: int
    backend: str  # "cpu" or "gpu", on which the last bits of its numbers depend
    mode: str  # how several outputs were taken together: "trace", "full" or the number of one
    held_out: tuple[str, ...] | None  # which pixels; see `ntkspec.report.targets.held_out_pixels`
    snapshots: tuple[KeptSnapshot, ...]


@dataclass(frozen=True)
class KeptPopulation:
    """All runs of a population, and all files that could not be used."""

    created: str  # ISO 8601, UTC
    runs: tuple[KeptRun, ...]
    failures: tuple[Failed, ...]
    broken: tuple[str, ...]  # bounds and checks of runs that do not hold
    examples: Mapping[str, RunReport]  # by label its first run, without numbers: what kind of run it is


def read_population(
    reports: Iterable[Path], failures: Sequence[Failed] = (), broken: Sequence[str] = ()
) -> KeptPopulation:
    """Read the runs of all reports; reports that cannot be read are added to the failures.

    Args:
        reports: report.json files, each of one run or several; their order does not matter.
        failures: run files that could not be analysed.
        broken: bounds and checks of runs that do not hold.

    Raises:
        UsageError: there is no run among them.
    """
    runs: list[KeptRun] = []
    failed, examples = list(failures), dict[str, RunReport]()
    for path in sorted(set(reports)):
        try:
            report = read_report(path)
            runs += [_kept_run(run, path, report.backend) for run in _checked(report, path).runs]
        except ReportFileError as error:
            failed.append(Failed(str(path), str(error).removeprefix(f"{path}: ")))
            continue
        for run in report.runs:
            examples.setdefault(run.label, _example(run))
    if not runs:
        first = f"none: {failed[0].path}: {failed[0].reason}" if failed else "none"
        raise UsageError(
            "reports of a population",
            expected="a report.json with a run",
            got=" ".join(first.split()),
            remedy="analyse the run files first",
        )
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return KeptPopulation(now, tuple(runs), tuple(failed), tuple(broken), examples)


def _checked(report: Report, path: Path) -> Report:
    """Check that every run has a snapshot, and each snapshot kernels of one size; return the report.

    Raises:
        ReportFileError: a run or a snapshot fails this check, or there is no run.
    """
    sizes = [{s.size for s in snap.spectra.values()} for run in report.runs for snap in run.snapshots]
    if not report.runs or not all(run.snapshots for run in report.runs):
        expected, got = "a run with a snapshot", "none"
    elif any(len(of_snapshot) > 1 for of_snapshot in sizes):
        expected, got = "kernels of one size at each snapshot", "several sizes"
    else:
        return report
    raise ReportFileError(str(path), expected=expected, got=got, remedy="analyse the run file again")


def _kept_run(run: RunReport, path: Path, backend: str) -> KeptRun:
    stage_of = {id(snapshot): stage for stage, snapshot in stages(run).items()}
    return KeptRun(
        folder=path.absolute().parent.name,
        path=run.path,
        label=run.label,
        outputs=run.outputs,
        backend=backend,
        mode=str(run.mode) if run.outputs > 1 else "trace",  # of one output all are the same
        held_out=held_out_pixels(run),
        snapshots=tuple(
            _kept_snapshot(name, snap, stage_of.get(id(snap))) for name, snap in named_snapshots(run)
        ),
    )


def _kept_snapshot(name: str, snapshot: SnapshotReport, stage: Stage | None) -> KeptSnapshot:
    return KeptSnapshot(
        id=snapshot.id,
        name=name,
        step=snapshot.step,
        stage=stage,
        metrics={metric: value for metric, value in snapshot.metrics.items() if math.isfinite(value)},
        spectra={kernel: _kept_spectrum(snapshot, kernel) for kernel in snapshot.spectra},
    )


def _kept_spectrum(snapshot: SnapshotReport, name: str) -> KeptSpectrum:
    spectrum = snapshot.spectra[name]
    (low, high), state = enclosed(spectrum), words.state(spectrum)
    ends = (spectrum.lower, spectrum.upper) if state == "resolved" else (low, high)
    return KeptSpectrum(
        low=low,
        high=high,
        stated=(float(ends[0][-1]), float(ends[1][-1])),
        state=state,
        network_singular=spectrum.network_singular,
        numbers=kernel_numbers(snapshot, name),
        method=spectrum.method,
        precision=spectrum.precision,
    )


def enclosed(spectrum: Spectrum) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lower and the upper limits of the kept eigenvalues, see `KeptSpectrum`; (k,) each.

    The upper limit of an eigenvalue that was not computed is the last one that was.

    Example:
        >>> kept = Spectrum(np.array([4.0, 0.5]), np.zeros(2), 1.0, 2, 4.5, "gram", "float64")
        >>> [ends.tolist() for ends in enclosed(kept)]
        [[4.0, 0.0], [4.0, 1.0]]
    """
    index = np.array(indices(spectrum.size))
    place = np.minimum(index, len(spectrum.eigenvalues)) - 1
    values = spectrum.eigenvalues[place]
    at_most = np.maximum(spectrum.upper[place], spectrum.floor)
    if spectrum.regions is not None:
        beyond = index > spectrum.regions.independent
        at_most = np.where(beyond, np.minimum(at_most, spectrum.regions.rest), at_most)
    resolved = index <= spectrum.resolved
    rank = 0 if spectrum.zero else spectrum.size
    if spectrum.singular and spectrum.rank is not None:
        rank = spectrum.rank.at_most
    zero = index > rank
    low = np.where(resolved & ~zero, values, 0.0)
    return low, np.where(zero, 0.0, np.where(resolved, values, at_most))


def _example(run: RunReport) -> RunReport:
    """Return a copy of a run without its numbers, from which the kind of the run can still be found."""
    return replace(
        run,
        snapshots=tuple(
            replace(snap, metrics={}, bounds=(), checks=(), distances={}, spectra=_first_values(snap))
            for snap in run.snapshots
        ),
        config={key: run.config[key] for key in _OF_KIND if key in run.config},
        warnings=(),
    )


def _first_values(snapshot: SnapshotReport) -> dict[str, Spectrum]:
    return {
        name: replace(spectrum, eigenvalues=spectrum.eigenvalues[:1].copy(), error=spectrum.error[:1].copy())
        for name, spectrum in snapshot.spectra.items()
    }
