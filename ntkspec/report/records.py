"""Define the records of a report, from which terminal output, JSON, CSV, figures and page are made.

report.json has the structure of these records, without pictures and eigenvectors; `read_report` reads it.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Outputs
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound as CheckedBound
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.eigenvalues import Spectrum
from ntkspec.store.pictures import Picture as Picture

Qualifier = Literal["=", ">=", "<=", "unresolved"]


@dataclass(frozen=True)
class ModePictures:
    """Some eigenfunctions of a total kernel over two coordinates, at the samples or over a whole picture."""

    modes: tuple[int, ...]  # k of them, ascending, from 1: that of the largest eigenvalue
    eigenvalues: tuple[float, ...]  # (k,)
    frequencies: tuple[float | None, ...]  # (k,) radial, cycles across the picture; None: at scattered points
    points: NDArray[np.floating] | None = None  # (M, 2), not in report.json
    patterns: NDArray[np.float32] | None = None  # (M, k), not in report.json


@dataclass(frozen=True)
class SnapshotReport:
    """The results for one snapshot of one run."""

    id: str
    step: int
    label: str
    metrics: Mapping[str, float]  # e.g. {"psnr_db": 31.2, "ms_ssim": 0.97}
    spectra: Mapping[str, Spectrum]  # "total" always; "no_grid", "grid" where a block has that role; others
    bounds: tuple[CheckedBound, ...] = ()
    checks: tuple[Check, ...] = ()
    picture: Picture | None = None  # the model's output, where the run file carries it
    distances: Mapping[str, KernelDistance] = field(default_factory=dict)  # by spectrum; older files: none
    alignments: Mapping[str, Alignment] = field(default_factory=dict)  # by spectrum: of "total", or of none
    no_alignment: str = ""  # why there is none
    eigenfunctions: ModePictures | None = None


@dataclass(frozen=True)
class RunReport:
    """The results for one run file; snapshots are in order of step."""

    path: str
    label: str
    samples: int  # n
    outputs: int  # c
    mode: Outputs
    snapshots: tuple[SnapshotReport, ...]
    config: Mapping[str, Any] = field(default_factory=dict)
    truth: Picture | None = None  # the picture that was learnt, where the run file carries it
    warnings: tuple[str, ...] = ()
    inputs: str | None = None  # digest of the samples' coordinates, equal where these are; None: not known

    @property
    def size(self) -> int:
        """Return N, the size of the kernel."""
        return self.samples * (self.outputs if self.mode == "full" else 1)

    def snapshot(self, label: str) -> SnapshotReport | None:
        """Return the last snapshot with this label, or None."""
        return next((snap for snap in reversed(self.snapshots) if snap.label == label), None)


@dataclass(frozen=True)
class Comparison:
    """A comparison of one run with the baseline: the ratio of their lambda_min at a snapshot, in decades."""

    of: str  # name of the spectrum
    snapshot: str  # label
    run: str  # label
    baseline: str  # label
    decades: float | None  # log10 of the ratio, or of what is known of it; None if nothing is
    qualifier: Qualifier
    quantity: str = "lambda_min"


@dataclass(frozen=True)
class Report:
    """Everything that `python -m ntkspec.analyze` found."""

    created: str  # ISO 8601, UTC
    producer: str
    backend: Literal["cpu", "gpu"]
    runs: tuple[RunReport, ...]
    comparisons: tuple[Comparison, ...] = ()
    baseline: str | None = None  # label of the run that the others are compared with; None: of none

    def __post_init__(self) -> None:
        """Raise `UsageError` if two runs have the same label, since comparisons name runs by labels."""
        labels = [run.label for run in self.runs]
        if len(set(labels)) < len(labels):
            raise UsageError(
                "Report",
                expected="a label of its own for each run",
                got=", ".join(map(repr, labels)),
                remedy="see ntkspec.report.compare.unique_labels",
            )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return the warnings of all runs; a warning that all runs share is listed once."""
        own = [
            [(warning.removeprefix(f"{run.path}: "), warning) for warning in run.warnings]
            for run in self.runs
        ]
        texts = [{text for text, _ in of_run} for of_run in own]
        common = set.intersection(*texts) if len(texts) > 1 else set()
        shared = dict.fromkeys(text for text, _ in own[0] if text in common) if own else {}
        rest = (warning for of_run in own for text, warning in of_run if text not in common)
        return (*(f"every run: {text}" for text in shared), *rest)

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write report.json, spectra.csv, snapshots.csv, the figures and index.html, and return their paths.

        Args:
            folder: absent, empty, or an older report's.
            overwrite: accept a report's folder to which files were added; they are kept.

        Raises:
            OutputError: the folder holds something else, or cannot be written.
        """
        # By its name: that module imports this one.
        write = importlib.import_module("ntkspec.report.write")
        paths: list[Path] = write.write_report(self, Path(folder), overwrite=overwrite)
        return paths
