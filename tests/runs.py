"""Run files to test on: written by the package's writer, and by plain h5py in other writers' manners."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cases
import h5py
import numpy as np

from ntkspec.jacobian import Jacobian
from ntkspec.store import RunWriter


def write_run(
    path: Path,
    jacobian: Jacobian | None = None,
    *,
    label: str = "a run",
    steps: tuple[int, ...] = (0, 10),
    metrics: dict[str, float] | None = None,
    **options: Any,
) -> Path:
    """A run file with a snapshot for every step: "init", then "mid", ..., "end"; its PSNR grows."""
    jacobian = jacobian or cases.mixed(12)
    rng = np.random.default_rng(0)
    n, c = jacobian.samples, jacobian.outputs
    names = ["init", "mid", "end"] if len(steps) == 3 else ["init", "end"][-len(steps) :]
    options = {"config": {"preset": label}, "overwrite": True} | options
    with RunWriter(
        path, inputs=rng.random((n, 2)), targets=rng.random((n, c)), label=label, **options
    ) as run:
        for step, name in zip(steps, names, strict=True):
            known = metrics or {"psnr_db": 20.0 + step}
            with run.snapshot(name, step=step, label=name, metrics=known) as snapshot:
                snapshot.write(0, rng.random((n, c)), jacobian)
    return path


def foreign_run(path: Path, *, n: int = 6, c: int = 2) -> Path:
    """A valid file as a writer without h5py might make it: fixed-length strings, 0/1 flags, big-endian
    float32, contiguous layout, scalars as arrays of one, unknown extras."""
    rng = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        for name, value in {
            "format": "ntkspec-run",
            "created": "2026-01-02T03:04:05Z",
            "producer": "other 1.0",
            "label": "größer",
            "config": json.dumps({"lr": 0.1}),
        }.items():
            file.attrs[name] = np.bytes_(value.encode())
        file.attrs["version"] = np.array([1], dtype=">i2")
        file.attrs["complete"] = np.uint8(1)
        file["samples/inputs"] = rng.random((n, 1)).astype(">f4")
        file["samples/extra"] = np.arange(3)
        snap = file.create_group("snapshots/γ 1")
        snap.attrs["step"] = np.uint64(7)
        snap.attrs["label"] = np.bytes_(b"end")
        snap.attrs["metrics"] = np.bytes_(b'{"loss": 1e-3}')
        snap.attrs["complete"] = np.int32(1)
        snap["outputs"] = rng.random((n, c)).astype(">f4")
        snap["regions"] = np.zeros(n, np.int64)
        block = snap.create_group("blocks/only right")
        block.attrs["role"] = np.bytes_(b"network")
        block.attrs["order"] = np.int8(0)
        block.attrs["parameters"] = np.bytes_(b'[{"name": "w", "shape": [5]}, {"name": "s", "shape": []}]')
        block["right"] = rng.random((n, c, 6)).astype(">f4")
        block["scale"] = np.ones((1, 6))
        grid = snap.create_group("blocks/level")
        grid.attrs["role"] = np.bytes_(b"grid")
        grid.attrs["order"] = np.int64(1)
        grid.attrs["parameters"] = np.bytes_(b'[{"name": "table", "shape": [4, 1]}]')
        grid["left/indices"] = np.array([[0, 0, -1]] * n, dtype=">i4")
        grid["left/values"] = np.full((n, 3), 0.5)
        grid["left"].attrs["columns"] = np.uint32(4)
    return path
