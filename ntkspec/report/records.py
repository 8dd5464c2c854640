"""Define the records of a report, from which terminal output, JSON, CSV, figures and page are made.

report.json has the structure of these records, without pictures and eigenvectors, and
`ntkspec.read_report` reads it.
"""

from __future__ import annotations

import importlib
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.counts import as_index
from ntkspec.display import Named, NotAnArray, counted, digits, html_table, listed
from ntkspec.errors import UsageError, named_path, not_one_of
from ntkspec.frames import data_frame
from ntkspec.jacobian import Outputs
from ntkspec.qualities import values_of
from ntkspec.spectral import words
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound as CheckedBound
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.record import Spectrum
from ntkspec.store.by_key import by_key
from ntkspec.store.pictures import Picture as Picture

if TYPE_CHECKING:
    from ntkspec.frames import DataFrame

Qualifier = Literal["=", ">=", "<=", "unresolved"]

NO_TARGETS, NOT_ASKED = "the run file has no targets", "it was not asked for"  # why there is no alignment
_MOST_LINES = 8  # runs of a report that are printed


@dataclass(frozen=True, repr=False, eq=False)
class ModePictures:
    """Some eigenfunctions of a total kernel over two coordinates, at the samples or over a whole picture."""

    modes: tuple[int, ...]  # k of them, ascending, from 1: that of the largest eigenvalue
    eigenvalues: tuple[float, ...]  # (k,)
    frequencies: tuple[float | None, ...]  # (k,) radial, cycles across the picture; None: at scattered points
    points: NDArray[np.floating] | None = None  # (M, 2), not in report.json
    patterns: NDArray[np.float32] | None = None  # (M, k), not in report.json

    def __repr__(self) -> str:
        where = "" if self.points is None else f" at {counted(point=len(self.points))}"
        return f"ModePictures(modes {listed([*map(str, self.modes)])}{where})"


@dataclass(frozen=True, repr=False, eq=False)
class SnapshotReport(NotAnArray):
    """The results for one snapshot of one run."""

    _ARRAYS = "an array of one of its spectra, such as .spectra['total'].eigenvalues"

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

    def __repr__(self) -> str:
        kernels = listed(
            [
                f"{name} with {spectrum.resolved} of {len(spectrum)} eigenvalues resolved, "
                f"lambda_min {words.lambda_min(spectrum)}"
                for name, spectrum in self.spectra.items()
            ],
            most=3,
        )
        return f"SnapshotReport({self.label or self.id!r}, step {self.step}: {kernels})"

    def _repr_html_(self) -> str:
        """Return a table of the kernels, for notebooks."""
        return html_table(f"Snapshot {self.label or self.id!r}, step {self.step}", *_kernels([("", self)]))


@dataclass(frozen=True, repr=False, eq=False)
class RunReport(NotAnArray, Named):
    """The results for one run file; snapshots are in order of step."""

    _ARRAYS = "an array of a spectrum, such as run['end'].spectra['total'].eigenvalues"

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
    digest: str | None = None  # the run file's own; None: it has none, or it is not known
    place: str | None = None  # of the run file, see `ntkspec.machine.file_sign.place_of`; None: not known
    origin: str = ""  # producer and backend that computed it, if not those of the report

    @property
    def size(self) -> int:
        """Return N, the size of the kernel."""
        return self.samples * (self.outputs if self.mode == "full" else 1)

    def snapshot(self, label: str) -> SnapshotReport | None:
        """Return the last snapshot with this label, or None."""
        return next((snap for snap in reversed(self.snapshots) if snap.label == label), None)

    @property
    def end(self) -> SnapshotReport | None:
        """Return the last snapshot labelled "end" or, without one, the last of all; None without any."""
        return self.snapshot("end") or (self.snapshots[-1] if self.snapshots else None)

    def __getitem__(self, key: str | int) -> SnapshotReport:
        """Return the last snapshot with this label, else the one with this id or step; -1: the last of all.

        Raises:
            UsageError: there is none.
        """
        return by_key(self.snapshots, key, f"run {self.label!r}")

    def __iter__(self) -> Iterator[SnapshotReport]:
        return iter(self.snapshots)

    def __len__(self) -> int:
        return len(self.snapshots)

    def __repr__(self) -> str:
        snapshots = listed([snap.label or snap.id for snap in self.snapshots])
        return (
            f"RunReport({self.label!r}, {counted(sample=self.samples, output=self.outputs)}, "
            f"snapshots: {snapshots})"
        )

    def _repr_html_(self) -> str:
        """Return a table of all kernels at all snapshots, for notebooks."""
        title = f"Run {self.label!r}, {counted(sample=self.samples, output=self.outputs)}"
        return html_table(title, *_kernels([("", snap) for snap in self.snapshots]))


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


@dataclass(frozen=True, repr=False)
class Report(NotAnArray, Named):
    """Everything that `ntkspec.analyze_runs` found: a sequence of runs, each by its label, too.

    Example:
        >>> import ntkspec
        >>> report = ntkspec.analyze_runs("data/golden/mpe.h5", k=3, outputs=0)
        >>> [run.label for run in report], report["MPE"]["init"].spectra["total"].resolved
        (['MPE'], 3)
    """

    _ARRAYS = "a table, report.to_frame(), or an array of one of its spectra"

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

    def __getitem__(self, key: str | int) -> RunReport:
        """Return the run with this label, or at this place from 0; negative ones count from the last.

        Raises:
            UsageError: there is none.
        """
        labels = [run.label for run in self.runs]
        if isinstance(key, str) and key in labels:
            return self.runs[labels.index(key)]
        place = as_index(key)
        if place is not None and -len(labels) <= place < len(labels):
            return self.runs[place]
        raise not_one_of("run of the report", key, labels)

    def __iter__(self) -> Iterator[RunReport]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        compared = "" if self.baseline is None else f", compared with {self.baseline!r}"
        lines = [f"Report of {counted(run=len(self.runs))}{compared}", *map(repr, self.runs[:_MOST_LINES])]
        if len(self.runs) > _MOST_LINES:
            lines.append(f"and {len(self.runs) - _MOST_LINES} more")
        return "\n  ".join(lines)

    def _repr_html_(self) -> str:
        """Return a table of all kernels at the end of each run, for notebooks."""
        ends = [(run.label, run.end) for run in self.runs if run.end is not None]
        return html_table(f"Report of {counted(run=len(self.runs))}, each at its end", *_kernels(ends))

    def to_frame(self) -> DataFrame:
        """Return a pandas data frame with a row for each kernel at each snapshot of each run.

        The columns are those of snapshots.csv, then one for each metric. What is not known is NaN, the
        PSNR of a perfect picture is infinite.

        Raises:
            NotInstalledError: there is no pandas.
        """
        table = importlib.import_module("ntkspec.report.to_csv")  # that module imports this one
        return data_frame(table.snapshot_columns(self))

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
        origins = (f"{run.path}: computed earlier, by {run.origin}" for run in self.runs if run.origin)
        return (*(f"every run: {text}" for text in shared), *rest, *origins)

    def write(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> list[Path]:
        """Write report.json, spectra.csv, snapshots.csv, the figures and index.html, and return their paths.

        Args:
            folder: absent, empty, or an older report's.
            overwrite: accept a report's folder to which files were added; they are kept.

        Raises:
            OutputError: the folder holds something else, or cannot be written.
            UsageError: what came is no path.
        """
        # By its name: that module imports this one.
        write = importlib.import_module("ntkspec.report.write")
        paths: list[Path] = write.write_report(self, named_path(folder, "a folder"), overwrite=overwrite)
        return paths


def _kernels(snapshots: Sequence[tuple[str, SnapshotReport]]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table of kernels; columns that would be empty are left out.

    Args:
        snapshots: each with the label of its run, or "".
    """
    values = [values_of(snap.metrics) for _, snap in snapshots]
    metrics = dict.fromkeys(itertools.chain(*values))
    rows = []
    for (label, snap), known in zip(snapshots, values, strict=True):
        for name, spectrum in snap.spectra.items():
            apart = snap.distances[name].value if name in snap.distances else None
            rows.append(
                {
                    "run": label,
                    "snapshot": snap.label or snap.id,
                    "step": f"{snap.step:,}",
                    "kernel": name,
                    "resolved": words.resolved(spectrum),
                    "lambda_max": words.lambda_max(spectrum),
                    "lambda_min": words.lambda_min(spectrum),
                    "kernel distance": "" if apart is None else words.kernel_distance(apart),
                    **{metric: digits(known.get(metric)) for metric in metrics},
                }
            )
    header = [name for name in (rows[0] if rows else ()) if any(row[name] for row in rows)]
    return header, [[row[name] for name in header] for row in rows]
