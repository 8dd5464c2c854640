"""The records that are kept of each run of a population: some kB, whatever the size of its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.report.records import RunReport
from ntkspec.report.style import Stage

State = Literal["resolved", "zero", "unresolved", "not computed"]  # of the last eigenvalue
STATES: tuple[State, ...] = ("resolved", "zero", "unresolved", "not computed")


@dataclass(frozen=True)
class Failed:
    """A run file that could not be analysed, or a report.json that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class KeptSpectrum:
    """A thinned spectrum: what each kept eigenvalue is at least and at most.

    Both are the eigenvalue itself where it is resolved, and 0 where it is exactly zero. An unresolved one is
    at least 0 and at most the floor, or what activation regions prove of the stored numbers.
    """

    low: NDArray[np.float64]  # (k,) at `ntkspec.population.outcomes.indices(size)`
    high: NDArray[np.float64]  # (k,)
    state: State
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
    """What is kept of one snapshot of a run."""

    id: str
    label: str
    name: str  # the label, or the id where the label is empty or shared
    step: int
    stage: Stage | None  # of training; None: between those that stand for one
    metrics: Mapping[str, float]  # the finite ones
    spectra: Mapping[str, KeptSpectrum]


@dataclass(frozen=True)
class KeptRun:
    """What is kept of one run."""

    folder: str  # name of the folder of its report
    path: str  # of the run file
    label: str
    outputs: int
    backend: str  # "cpu" or "gpu", on which the last bits of its numbers depend
    mode: str  # how several outputs were taken together: "trace", "full" or the number of one
    snapshots: tuple[KeptSnapshot, ...]


@dataclass(frozen=True)
class KeptPopulation:
    """All runs of a population, and all files that could not be used."""

    created: str  # ISO 8601, UTC
    runs: tuple[KeptRun, ...]
    failures: tuple[Failed, ...]
    broken: tuple[str, ...]  # bounds and checks of runs that do not hold
    examples: Mapping[str, RunReport]  # by label its first run, without numbers: what kind of run it is
