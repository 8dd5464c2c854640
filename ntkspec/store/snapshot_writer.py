"""Write one snapshot of a run file, a range of samples at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, Factor, Jacobian
from ntkspec.real_arrays import as_floats, as_positions
from ntkspec.store import digest, schema
from ntkspec.store.checks import AnyArray, Floats
from ntkspec.store.disk import reserve, writing
from ntkspec.store.texts import check_name, one_level

CHUNK_BYTES = 2 * 2**20  # the contract asks for 1 to 4 MiB


class SnapshotWriter:
    """A snapshot that is being written, a range of samples at a time."""

    def __init__(self, group: h5py.Group, n: int, part: Path) -> None:
        self._group = group
        self._n = n
        self._part = part
        self._filled = 0
        self._crcs: dict[str, int] = {}

    def write(
        self,
        start: int,
        outputs: Floats,
        jacobian: Jacobian,
        regions: NDArray[np.int64] | None = None,
        *,
        certain: bool = False,
    ) -> None:
        """Write the next m samples; the first call creates the datasets.

        Args:
            start: number of the first of these samples; it must equal the number of samples written so far.
            outputs: f(x_i), (m, c).
            jacobian: of these m samples, with the same blocks at every call.
            regions: the number of each sample's activation region, (m,); given at every call or at none.
            certain: whether samples that rounding could have put into another region have regions of their
                own.

        Raises:
            UsageError: samples are out of order or too many, or numbers or names cannot be stored.
            OutputError: the file cannot be written.
        """
        if start != self._filled:
            raise UsageError("snapshot", expected=f"sample {self._filled} next", got=f"{start}")
        outputs = check_floats(outputs, "outputs", 2)
        if outputs.shape[1] != jacobian.outputs:
            raise UsageError(
                "outputs",
                expected=f"({len(outputs)}, {jacobian.outputs}), as the Jacobian has them",
                got=f"shape {outputs.shape}",
            )
        if regions is not None:
            regions = as_positions(regions, "regions", len(outputs))
        if len(outputs) != jacobian.samples or start + len(outputs) > self._n:
            raise UsageError(
                "snapshot",
                expected=f"as many outputs as samples in the Jacobian ({jacobian.samples}), {self._n} in all",
                got=f"{len(outputs)} from {start}",
                remedy="give one row a sample",
            )
        _check_blocks(jacobian)
        stop = start + len(outputs)
        with writing(self._part):
            if start == 0:
                self._create(outputs, jacobian)
                if regions is not None:
                    create_dataset(self._group, schema.REGIONS, (self._n,), np.dtype(np.int64))
                    self._group[schema.REGIONS].attrs[schema.CERTAIN] = certain
            self._put(self._group[schema.OUTPUTS], start, stop, outputs)
            if regions is not None:
                self._put(self._group[schema.REGIONS], start, stop, regions)
            for block in jacobian:
                self._fill(block, start, stop)
        self._filled = stop

    def _create(self, outputs: Floats, jacobian: Jacobian) -> None:
        """Create the datasets of outputs and blocks, once the disk has room for all samples."""
        stored = [array for b in jacobian for side in b.factors for array in side.arrays.values()]
        need = outputs.nbytes + sum(int(array.nbytes) for array in stored)
        reserve(self._part, need * self._n // jacobian.samples)
        create_dataset(self._group, schema.OUTPUTS, (self._n, *outputs.shape[1:]), outputs.dtype)
        for block in jacobian:
            self._create_block(block)

    def _create_block(self, block: Block) -> None:
        group = self._group.require_group(schema.BLOCKS).create_group(one_level(block.name))
        group.attrs["role"] = block.role
        group.attrs["order"] = block.order
        group.attrs["parameters"] = json.dumps(
            [{"name": parameter.name, "shape": list(parameter.shape)} for parameter in block.all_parameters]
        )
        for side, factor in _sides(block):
            if len(factor.arrays) > 1:
                group.create_group(side).attrs.update(factor.facts)
            if schema.RIGHT in factor.arrays:
                group.file.attrs["version"] = schema.VERSION_OF_PAIRS
            for place, array in _datasets(side, factor):
                create_dataset(group, place, (self._n, *array.shape[1:]), array.dtype)

    def _fill(self, block: Block, start: int, stop: int) -> None:
        group = self._group[schema.BLOCKS][one_level(block.name)]
        for side, factor in _sides(block):
            for place, array in _datasets(side, factor):
                self._put(group[place], start, stop, array)

    def _put(self, data: h5py.Dataset, start: int, stop: int, values: AnyArray) -> None:
        """Write the rows start:stop of a dataset, and continue its checksum."""
        if data.dtype.kind == "f":
            as_floats(values, data.name.lstrip("/"))
        stored = np.broadcast_to(values, (stop - start, *data.shape[1:])).astype(data.dtype, copy=False)
        data[start:stop] = stored
        self._crcs[data.name] = digest.crc32(stored, self._crcs.get(data.name, 0))

    def seal(self) -> None:
        """Store the checksums of all datasets and the digest; raise `UsageError` if samples are missing."""
        if self._filled != self._n:
            raise UsageError("snapshot", expected=f"{self._n} samples", got=f"{self._filled}")
        for name, crc in self._crcs.items():
            self._group[name].attrs[digest.CRC] = np.uint32(crc)
        self._group.attrs[digest.DIGEST] = digest.snapshot_digest(self._group, str(self._part))


def _check_blocks(jacobian: Jacobian) -> None:
    """Raise `UsageError` where a block has a name or a role that HDF5 cannot store, or no numbers."""
    for block in jacobian:
        check_name(block.name, "name of a block")
        check_name(block.role, f"role of block {block.name}")
        for factor in block.factors:
            _ = factor.nodes  # which raises where indices are no columns
        if not block.nbytes:
            raise UsageError(
                f"block {block.name}",
                expected="a left or a right factor with numbers",
                got="ones alone",
                remedy="write one of them out: DenseFactor(numpy.ones(...))",
            )


def _sides(block: Block) -> list[tuple[str, Factor]]:
    """Return both factors, in memory, by their names in the file."""
    return [(schema.LEFT, block.left.load()), (schema.RIGHT, block.right.load())]


def _datasets(side: str, factor: Factor) -> Iterator[tuple[str, AnyArray]]:
    """Yield the place of each array of a factor, and the array as it is stored.

    A single array is stored under the factor's name, several lie in a group of that name. Left factors and
    the left sides of pairs do not depend on the output; they are stored without that axis.
    """
    for name, array in factor.arrays.items():
        place = f"{side}/{name}" if len(factor.arrays) > 1 else side
        without_outputs = side == schema.LEFT or name == schema.LEFT
        yield place, array[:, 0] if without_outputs and array.ndim > 2 else array


def create_dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> h5py.Dataset:
    """Create a dataset in chunks of whole rows, of 1 to 4 MiB as docs/run-format.md asks."""
    row_bytes = max(np.dtype(dtype).itemsize * math.prod(shape[1:]), 1)
    rows = min(max(CHUNK_BYTES // row_bytes, 1), shape[0])
    if rows:
        # The fewest that fill as many chunks: the last chunk takes as much of the disk as the others.
        rows = math.ceil(shape[0] / math.ceil(shape[0] / rows))
    columns = shape[1:]
    if row_bytes > 2 * CHUNK_BYTES:  # one row of a large dense Jacobian: the last axis is cut, too
        others = np.dtype(dtype).itemsize * math.prod(shape[1:-1])
        columns = (*shape[1:-1], max(CHUNK_BYTES // others, 1))
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=(rows, *columns) if rows else None)


def has_pairs(snapshot: h5py.Group) -> bool:
    """Return whether a factor of a snapshot is one of pairs, which need version 2 of the format."""
    sides = (side for block in snapshot[schema.BLOCKS].values() for side in block.values())
    return any(isinstance(side, h5py.Group) and schema.RIGHT in side for side in sides)


def check_floats(array: Floats, name: str, ndim: int) -> Floats:
    """Return an array of finite float32 or float64 with `ndim` axes; raise `UsageError` if it is none."""
    if np.ma.is_masked(array):
        raise UsageError(
            name, expected="numbers without a mask", got="masked ones", remedy="leave out these samples"
        )
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
