"""Fill one snapshot of a run file, a range of samples at a time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, LoadedFactor
from ntkspec.store import schema
from ntkspec.store.disk import reserve, writing

CHUNK_BYTES = 2 * 2**20  # the contract asks for 1 to 4 MiB


class SnapshotWriter:
    """Fills one snapshot, a range of samples at a time."""

    def __init__(self, group: h5py.Group, n: int, part: Path) -> None:
        self._group = group
        self._n = n
        self._part = part
        self._filled = 0

    def write(self, start: int, outputs: NDArray[Any], jacobian: Jacobian) -> None:
        """Write samples start, start + 1, ...: outputs (m, c) and the Jacobian's m samples, in order.

        The first call creates the datasets; later ones must bring the same blocks.
        """
        if start != self._filled:
            raise UsageError(
                "snapshot", expected=f"sample {self._filled} next", got=f"{start}", remedy="write in order"
            )
        outputs = check_floats(outputs, "outputs", 2)
        if len(outputs) != jacobian.samples or start + len(outputs) > self._n:
            raise UsageError(
                "snapshot",
                expected=f"as many outputs as samples in the Jacobian ({jacobian.samples}), {self._n} in all",
                got=f"{len(outputs)} from {start}",
                remedy="give one row a sample",
            )
        stop = start + len(outputs)
        with writing(self._part):
            if start == 0:
                reserve(self._part, (outputs.nbytes + jacobian.nbytes) * self._n // jacobian.samples)
                create_dataset(self._group, schema.OUTPUTS, (self._n, *outputs.shape[1:]), outputs.dtype)
                for block in jacobian:
                    self._create(block)
            self._group[schema.OUTPUTS][start:stop] = outputs
            for block in jacobian:
                self._fill(block, start, stop)
        self._filled = stop

    def _create(self, block: Block) -> None:
        group = self._group.require_group(schema.BLOCKS).create_group(_hdf5_name(block.name))
        group.attrs["role"] = block.role
        group.attrs["order"] = block.order
        group.attrs["parameters"] = json.dumps(
            [{"name": parameter.name, "shape": list(parameter.shape)} for parameter in block.parameters]
        )
        for side, factor in _sides(block):
            if isinstance(factor, DenseFactor):
                create_dataset(group, side, _shape(side, self._n, factor), factor.dtype)
            else:
                sparse = group.create_group(side)
                sparse.attrs[schema.COLUMNS] = factor.columns
                indices = factor.indices
                create_dataset(sparse, schema.INDICES, (self._n, *indices.shape[1:]), indices.dtype)
                create_dataset(sparse, schema.VALUES, _shape(side, self._n, factor), factor.dtype)

    def _fill(self, block: Block, start: int, stop: int) -> None:
        group = self._group[schema.BLOCKS][_hdf5_name(block.name)]
        for side, factor in _sides(block):
            values = factor.values[:, 0] if side == schema.LEFT else factor.values
            if isinstance(factor, DenseFactor):
                group[side][start:stop] = values
            else:
                group[side][schema.INDICES][start:stop] = factor.indices
                group[side][schema.VALUES][start:stop] = values

    def check_filled(self) -> None:
        """Raise unless every sample was written."""
        if self._filled != self._n:
            raise UsageError(
                "snapshot", expected=f"{self._n} samples", got=f"{self._filled}", remedy="write all of them"
            )


def _sides(block: Block) -> list[tuple[str, LoadedFactor]]:
    sides = ((schema.LEFT, block.left), (schema.RIGHT, block.right))
    return [(side, factor.load()) for side, factor in sides if factor is not None]


def _shape(side: str, n: int, factor: LoadedFactor) -> tuple[int, ...]:
    """Left factors do not depend on the output and are stored without that axis."""
    tail = factor.values.shape[2:] if side == schema.LEFT else factor.values.shape[1:]
    return (n, *tail)


def create_dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    """A dataset chunked along rows, as the contract asks."""
    row_bytes = max(np.dtype(dtype).itemsize * math.prod(shape[1:]), 1)
    rows = min(max(CHUNK_BYTES // row_bytes, 1), shape[0])
    columns = shape[1:]
    if row_bytes > 2 * CHUNK_BYTES:  # a row of a large dense Jacobian: split the last axis too
        others = np.dtype(dtype).itemsize * math.prod(shape[1:-1])
        columns = (*shape[1:-1], max(CHUNK_BYTES // others, 1))
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=(rows, *columns) if rows else None)


def check_floats(array: NDArray[Any], name: str, ndim: int) -> NDArray[Any]:
    """The array, if it is finite float32 or float64 with `ndim` axes; else raise `UsageError`."""
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64) or array.ndim != ndim or not np.isfinite(array).all():
        got = f"{array.dtype} of shape {array.shape}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            got += " with NaN or Inf"
        raise UsageError(
            name,
            expected=f"finite float32 or float64 with {ndim} axes",
            got=got,
            remedy="convert or clean it",
        )
    return array


def _hdf5_name(name: str) -> str:
    """The contract lets a block have any HDF5 name; a slash would make groups within groups."""
    return name.replace("/", "|")
