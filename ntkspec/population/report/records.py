"""Define the records that are kept of each run of a population: a few kB for kernels of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ntkspec.report.records import RunReport
from ntkspec.report.style import Stage
from ntkspec.report.words import State


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
