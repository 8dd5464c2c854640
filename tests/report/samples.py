"""Synthetic reports: spectra that decay into a floor, bounds by the real functions, small pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.report.records import Comparison, Picture, Report, RunReport, SnapshotReport
from ntkspec.spectral import bounds
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.record import Spectrum

STAGES = {"init": 0, "mid": 750, "end": 1500}


def spectrum(
    values: NDArray[np.float64], floor: float, *, size: int | None = None, method: Any = "gram"
) -> Spectrum:
    """A spectrum whose values below the floor are rounding, clipped at zero as the real ones are."""
    noise = np.abs(np.sin(np.arange(len(values)) * 12.9898)) * floor * 0.8
    noise[len(values) // 2 :: 3] = 0.0
    values = np.sort(np.where(values > floor, values, noise))[::-1]
    return Spectrum(
        eigenvalues=values,
        error=np.full(len(values), floor / 4),
        floor=floor,
        size=size or len(values),
        trace=float(values.sum()),
        method=method,
        precision="float64",
        blocks=("layers.0",),
        reason="the Gram route resolves what was asked for",
    )


def decaying(size: int, top: float, decades: float, power: float = 0.5, *, svd: bool = False) -> Spectrum:
    """From `top` down by `decades` in a stretched exponential, with the floor of its route."""
    share = (np.arange(size) / max(size - 1, 1)) ** power
    floor = top * size * 2.2e-16 * (1e-9 if svd else 8)
    return spectrum(top * 10.0 ** (-decades * share), floor, method="svd" if svd else "gram")


def picture(detail: float, side: int = 48) -> Picture:
    """A small colour picture; the less detail, the smoother."""
    y, x = np.mgrid[0:side, 0:side] / side
    waves = sum(np.sin(2 * np.pi * k * (x + 0.3 * y)) * detail ** (k - 1) / k for k in range(1, 9))
    stack = np.stack([waves, np.roll(waves, side // 3, 0), (x - y) * 2], axis=-1)
    return (127 + 60 * np.clip(stack, -2, 2)).astype(np.uint8)


def plain_run(label: str, decades: float, detail: float, *, size: int = 192, **config: Any) -> RunReport:
    """A run without a grid, whose spectrum flattens while it is trained."""
    snapshots = []
    for stage, step in STAGES.items():
        total = decaying(size, 2e4, decades * {"init": 1.25, "mid": 1.1, "end": 1.0}[stage])
        snapshots.append(_snapshot(stage, step, {"total": total}, detail))
    return _run(label, size, snapshots, config)


def grid_run(label: str, decades: float, detail: float, *, size: int = 192, **config: Any) -> RunReport:
    """A run with a grid: total, no_grid and grid, and the bounds between them."""
    snapshots = []
    for stage, step in STAGES.items():
        total = decaying(size, 3e4, decades * {"init": 1.6, "mid": 1.1, "end": 1.0}[stage], 0.3)
        kept = decaying(size, 1e3, 22.0)
        grid = spectrum(total.eigenvalues * 0.8, total.floor)
        # As if both kernels had the same eigenvectors: then the eigenvalues add up.
        total = spectrum(kept.eigenvalues + grid.eigenvalues, total.floor)
        spectra = {"total": total, "no_grid": kept, "grid": grid}
        held = tuple(
            CheckedBound(bound, "total", sources, holds=bound.holds(total))
            for bound, sources in (
                (bounds.theorem1(kept), ("no_grid",)),
                (bounds.weyl_lower(kept, grid), ("no_grid", "grid")),
                (bounds.weyl_upper(kept, grid), ("no_grid", "grid")),
            )
        )
        snapshots.append(replace(_snapshot(stage, step, spectra, detail), bounds=held))
    return _run(label, size, snapshots, config)


def _run(label: str, size: int, snapshots: list[SnapshotReport], config: dict[str, Any]) -> RunReport:
    return RunReport(
        path=f"runs/{label}.h5", label=label, samples=size, outputs=1, mode="trace",
        snapshots=tuple(snapshots), config=config, truth=picture(0.9),
    )  # fmt: skip


def _snapshot(stage: str, step: int, spectra: dict[str, Spectrum], detail: float) -> SnapshotReport:
    metrics = {"psnr_db": 12.0 + 20 * detail + step / 1000, "ms_ssim": 0.4 + 0.55 * detail}
    return SnapshotReport(
        id=f"step{step:06d}", step=step, label=stage, metrics=metrics, spectra=spectra,
        picture=picture(detail) if stage == "end" else None,
    )  # fmt: skip


def aligned(report: Report) -> Report:
    """The report with alignments: the more a run's metrics say, the fewer modes hold most of its target."""

    def found(snapshot: SnapshotReport) -> SnapshotReport:
        total = snapshot.spectra["total"]
        rest = 0.0 if total.resolved == total.size else 0.01
        shares = np.exp(-snapshot.metrics["ms_ssim"] * np.arange(total.resolved))
        shares *= (1 - rest) / shares.sum()
        made = Alignment(total, shares, rest, residual=shares, residual_rest=rest)
        return replace(snapshot, alignments={"total": made})

    runs = (replace(run, snapshots=tuple(map(found, run.snapshots))) for run in report.runs)
    return replace(report, runs=tuple(runs))


def six_runs(size: int = 192) -> Report:
    """Baseline, three FFEs and two MPEs, in the order of a shell's wildcard."""
    runs = (
        plain_run("Baseline", 24, 0.2, size=size, encoding={"kind": "identity"}),
        plain_run("FFE (high)", 11, 0.75, size=size, encoding={"kind": "gaussian", "sigma": 10.0}),
        plain_run("FFE (low)", 20, 0.35, size=size, encoding={"kind": "gaussian", "sigma": 1.0}),
        plain_run("FFE (medium)", 16, 0.55, size=size, encoding={"kind": "gaussian", "sigma": 4.0}),
        grid_run("MPE (coarse)", 8, 0.8, size=size, encoding={"kind": "multigrid", "levels": 4}),
        grid_run("MPE (fine)", 6.8, 0.95, size=size, encoding={"kind": "multigrid", "levels": 8}),
    )
    return Report(
        created="2025-01-02T03:04:05Z",
        producer="ntkspec 0.1.0",
        backend="cpu",
        runs=runs,
        comparisons=tuple(compare(run, runs[0], stage) for run in runs[1:] for stage in STAGES),
        baseline="Baseline",
    )


def one_run(run: RunReport) -> Report:
    """A report of a single run."""
    return Report(created="2025-01-02T03:04:05Z", producer="ntkspec 0.1.0", backend="cpu", runs=(run,))


def compare(run: RunReport, baseline: RunReport, stage: str) -> Comparison:
    """Decades of lambda_min, from whatever is resolved."""
    # All sample runs have all stages, so there is no None among them.
    ours, theirs = (found.snapshot(stage).spectra["total"] for found in (run, baseline))  # type: ignore[union-attr]
    top, bottom = ours.lambda_min, theirs.lambda_min
    qualifier: Any = {
        (True, True): "=",
        (True, False): ">=",
        (False, True): "<=",
        (False, False): "unresolved",
    }[(top is not None, bottom is not None)]
    decades = None
    if qualifier != "unresolved":
        decades = float(np.log10((top or ours.floor) / (bottom or theirs.floor)))
    return Comparison("total", stage, run.label, baseline.label, decades, qualifier)
