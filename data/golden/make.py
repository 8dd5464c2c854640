"""Make the golden run files of this folder anew: `python data/golden/make.py`.

A later reader must still read them, so they are kept as they are: versions 1 and 2 of the format. The weights
are drawn, not trained, so that the files depend on little but the format. foreign.h5 is written with plain
h5py, as somebody else's writer would.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import h5py
import numpy as np
import torch

from ntkspec.export import RunExporter
from ntkspec.nets.encodings import GaussianFourier, Identity
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork

FOLDER = Path(__file__).parent
N, C = 40, 3


class Twice(torch.nn.Module):
    """A layer that each sample uses twice, whose factors are those of both uses: version 2 of the format."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice = torch.nn.Linear(2, 16), torch.nn.Linear(16, 16)
        self.last = torch.nn.Linear(16, C)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs (n, 3) at the inputs (n, 2)."""
        return self.last(self.twice(torch.sin(self.twice(torch.sin(self.first(x))))))


def networks() -> dict[str, tuple[str, torch.nn.Module, torch.Tensor]]:
    """Name -> label, model, inputs: one of each encoding, the first singular by construction."""
    rng = torch.Generator().manual_seed(0)
    scattered = torch.rand((N, 2), generator=rng, dtype=torch.float64)
    patch = torch.cartesian_prod(*[torch.linspace(0.50, 0.53, 8, dtype=torch.float64)] * 2)[:N]
    encodings = {
        "baseline-patch": ("baseline", Identity(2), patch),
        "ffe": ("FFE", GaussianFourier(2, 6, 4.0, generator=rng), scattered),
        "mpe": ("MPE", Multigrid(2, levels=3, base=4, growth=2.0, generator=rng), scattered),
        "mpe-hashed": (
            "MPE (hashed)",
            Multigrid(2, levels=2, base=6, growth=2.0, table_size=32, generator=rng),
            scattered,
        ),
    }
    made = {}
    for name, (label, encoding, inputs) in encodings.items():
        torch.manual_seed(1)
        made[name] = (label, CoordinateNetwork(encoding, MLP(encoding.width, 2, 8, C)), inputs)
    torch.manual_seed(1)
    made["pairs"] = ("a layer used twice", Twice(), scattered)
    return made


def write_foreign(path: Path) -> None:
    """Big-endian single precision, fixed-length strings, 0/1 flags, no chunks, a dense and a sparse block."""
    rng = np.random.default_rng(5)
    with h5py.File(path, "w") as file:
        words = {"format": "ntkspec-run", "created": "2026-01-02T03:04:05Z", "producer": "other 1.0"}
        words |= {"label": "another writer's", "config": json.dumps({"source": "by hand"})}
        for name, value in words.items():
            file.attrs[name] = np.bytes_(value.encode())
        file.attrs["version"], file.attrs["complete"] = np.int32(1), np.uint8(1)
        file["samples/inputs"] = rng.random((N, 2)).astype(">f4")
        snap = file.create_group("snapshots/0007")
        snap.attrs["step"], snap.attrs["complete"] = np.int64(7), np.uint8(1)
        snap.attrs["label"], snap.attrs["metrics"] = np.bytes_(b"end"), np.bytes_(b'{"loss": 0.01}')
        snap["outputs"] = rng.random((N, C)).astype(">f4")
        dense, table = snap.create_group("blocks/theta"), snap.create_group("blocks/table")
        for order, (block, role, shape) in enumerate(((dense, b"network", [9]), (table, b"grid", [50, 2]))):
            block.attrs["role"], block.attrs["order"] = np.bytes_(role), np.int32(order)
            block.attrs["parameters"] = np.bytes_(json.dumps([{"name": "p", "shape": shape}]).encode())
        dense["right"] = rng.standard_normal((N, C, 9)).astype(">f4")
        table["left/indices"] = rng.integers(-1, 50, (N, 4)).astype(">i4")
        table["left/values"] = rng.random((N, 4)).astype(">f4")
        table["left"].attrs["columns"] = np.int32(50)
        table["right"] = rng.standard_normal((N, C, 2)).astype(">f4")


def main() -> int:
    """Write all files."""
    for name, (label, model, inputs) in networks().items():
        with RunExporter(
            FOLDER / f"{name}.h5", inputs=inputs, label=label, config={"golden": name}, overwrite=True
        ) as run:
            run.snapshot(model, step=0, label="init")
    write_foreign(FOLDER / "foreign.h5")
    return 0


if __name__ == "__main__":
    sys.exit(main())
