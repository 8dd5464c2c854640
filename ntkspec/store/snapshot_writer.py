"""Write one snapshot of a run file, a range of samples at a time.

What is written is checked by the code that checks what is read: no reader refuses what a writer has accepted.
"""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import Floats, as_positions, as_rows
from ntkspec.errors import RunFileError, UsageError
from ntkspec.jacobian import Block, Factor, Jacobian, require_jacobian
from ntkspec.store import digest, schema
from ntkspec.store.checks import AnyArray
from ntkspec.store.disk import reserve, writing
from ntkspec.store.snapshot_reader import open_snapshot
from ntkspec.store.stored import Stored
from ntkspec.store.texts import check_id, check_name, one_level, to_json

CHUNK_BYTES = 2 * 2**20  # the contract asks for 1 to 4 MiB
AT_EVERY_CALL = "give the same blocks, shapes and types at every call"

Placed = Iterator[tuple[str, AnyArray]]  # the place of each array in the snapshot, and m rows of it


class SnapshotWriter:
    """A snapshot that is being written, a range of samples at a time."""

    def __init__(self, group: h5py.Group, n: int, c: int | None, part: Path) -> None:
        self._group = group
        self._n = n
        self._c = c  # outputs, as the targets have them; None without targets
        self._part = part
        self._filled = 0
        self._stored: dict[str, Stored] = {}  # by place: the datasets that the first call has created
        self._crcs: dict[str, int] = {}

    def write(
        self,
        start: int,
        outputs: ArrayLike,
        jacobian: Jacobian,
        regions: ArrayLike | None = None,
        *,
        certain: bool = False,
    ) -> None:
        """Write the next m samples; the first call creates the datasets, a refused one changes nothing.

        Args:
            start: number of the first of these samples; it must equal the number of samples written so far.
            outputs: f(x_i), (m, c), converted as `ntkspec.write_run` does.
            jacobian: of these m samples, with the same blocks at every call.
            regions: the number of each sample's activation region, (m,); given at every call or at none.
            certain: whether samples that rounding could have put into another region have regions of their
                own.

        Raises:
            UsageError: samples are out of order or too many, blocks are others than before, or readers would
                refuse names, shapes, types or numbers.
            OutputError: the file cannot be written.
        """
        start = whole_number(start, "start", 0)
        if start != self._filled:
            raise UsageError("snapshot", expected=f"sample {self._filled} next", got=f"{start}")
        require_jacobian(jacobian, "snapshot")
        outputs = as_rows(outputs, "outputs")
        if self._c not in (None, outputs.shape[1]):
            raise UsageError(
                "outputs of a snapshot",
                expected=f"{self._c} columns, as the targets have",
                got=f"{outputs.shape[1]}",
                remedy="give targets of the same outputs, or none",
            )
        stop = start + len(outputs)
        if outputs.shape != (jacobian.samples, jacobian.outputs) or stop > self._n:
            raise UsageError(
                "outputs of a snapshot",
                expected=f"shape ({jacobian.samples}, {jacobian.outputs}), as the Jacobian has samples and "
                f"outputs, and {self._n} samples in all",
                got=f"{outputs.shape} from sample {start}",
                remedy="give one row a sample",
            )
        numbers = None if regions is None else as_positions(regions, "regions", len(outputs))
        arrays = partial(_arrays, outputs, jacobian, numbers)
        with writing(self._part):
            try:
                if start == 0:
                    self._create(_arrays(outputs, jacobian, numbers, rows=1), jacobian, certain)
                self._check(start, stop, arrays)
            except UsageError:
                if start == 0:
                    self._group.clear()
                raise
            self._put(start, stop, arrays)
        self._filled = stop

    def _create(self, arrays: Placed, jacobian: Jacobian, certain: bool) -> None:
        """Create all datasets, once the disk has room for all samples, and open them as readers do.

        Args:
            arrays: of one sample or more; the others have the same shapes.
            jacobian: names and describes the blocks.
            certain: whether the regions are.
        """
        _check_names(jacobian)
        shapes = {place: (array.shape[1:], array.dtype) for place, array in arrays}
        a_sample = sum(math.prod(shape) * dtype.itemsize for shape, dtype in shapes.values())
        reserve(self._part, a_sample * self._n, len(shapes))
        for block in jacobian:
            _create_block(self._group.require_group(schema.BLOCKS), block)
        for place, (shape, dtype) in shapes.items():
            create_dataset(self._group, place, (self._n, *shape), dtype)
        if schema.REGIONS in shapes:
            self._group[schema.REGIONS].attrs[schema.CERTAIN] = certain
        place = self._group.name
        with _refusing():
            opened = open_snapshot(
                self._group.parent, place.rpartition("/")[2], place, self._n, self._c, sys.maxsize
            )
        self._stored = {stored.data.name.removeprefix(f"{place}/"): stored for stored in opened.stored()}

    def _check(self, start: int, stop: int, arrays: Callable[[], Placed]) -> None:
        """Raise `UsageError` where readers would refuse numbers, or there are other arrays than before."""
        missing = dict(self._stored)
        for place, array in arrays():
            where, stored = f"{self._group.name}/{place}", missing.pop(place, None)
            if stored is None:
                raise UsageError(
                    where, expected="nothing there, as before", got="an array", remedy=AT_EVERY_CALL
                )
            shape = (stop - start, *stored.data.shape[1:])
            if array.shape != shape or not np.can_cast(array.dtype, stored.dtype, "safe"):
                raise UsageError(
                    where,
                    expected=f"{stored.dtype} of shape {shape}",
                    got=f"{array.dtype} of shape {array.shape}",
                    remedy=AT_EVERY_CALL,
                )
            with _refusing():
                stored.check_rows(array, start)
        for stored in missing.values():
            raise UsageError(stored.where, expected="an array, as before", got="none", remedy=AT_EVERY_CALL)

    def _put(self, start: int, stop: int, arrays: Callable[[], Placed]) -> None:
        """Write the rows start:stop of all datasets, and continue their checksums."""
        for place, array in arrays():
            data = self._stored[place].data
            rows = array.astype(data.dtype, copy=False)
            data[start:stop] = rows
            self._crcs[place] = digest.crc32(rows, self._crcs.get(place, 0))

    def seal(self) -> None:
        """Store the checksums of all datasets and the digest; raise `UsageError` if samples are missing."""
        if self._filled != self._n:
            raise UsageError("snapshot", expected=f"{self._n} samples", got=f"{self._filled}")
        for place, crc in self._crcs.items():
            self._stored[place].data.attrs[digest.CRC] = np.uint32(crc)
        self._group.attrs[digest.DIGEST] = digest.snapshot_digest(self._group, str(self._part))


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn what a reader would say of what is being written into a `UsageError`."""
    try:
        yield
    except RunFileError as error:
        where, expected, got, remedy = error.args
        raise UsageError(where, expected=expected, got=got, remedy=remedy) from None


def _check_names(jacobian: Jacobian) -> None:
    """Raise `UsageError` where HDF5 cannot store the name or role of a block, or two would share a name."""
    for block in jacobian:
        check_id(one_level(check_name(block.name, "name of a block")), "name of a block")
        check_name(block.role, f"role of block {block.name}")
    names = [one_level(name) for name in jacobian.names]
    if len(set(names)) < len(names):
        raise UsageError(
            "names of blocks",
            expected="names that differ in a file, where '/' is written as '|'",
            got=", ".join(jacobian.names),
            remedy="rename the blocks that share one",
        )


def _create_block(blocks: h5py.Group, block: Block) -> None:
    """Create the group of a block with its attributes, without its arrays."""
    where, group = f"block {block.name}", blocks.create_group(one_level(block.name))
    parameters = [{"name": parameter.name, "shape": parameter.shape} for parameter in block.all_parameters]
    group.attrs["role"] = block.role
    group.attrs["order"] = whole_number(block.order, f"{where}, order", -(2**63))
    group.attrs["parameters"] = to_json(parameters, f"{where}, parameters", list)
    for side, factor in _sides(block):
        if len(factor.arrays) > 1:
            facts = group.create_group(side).attrs
            for name, value in factor.facts.items():
                facts[name] = whole_number(value, f"{where}, {side}, {name}", 1)
        if schema.RIGHT in factor.arrays:
            group.file.attrs["version"] = schema.VERSION_OF_PAIRS


def _arrays(
    outputs: Floats, jacobian: Jacobian, regions: NDArray[np.int64] | None, *, rows: int | None = None
) -> Placed:
    """Yield the place of each array in the snapshot, and its m rows as they are stored, a factor at a time.

    A single array of a factor is stored under the factor's name, several lie in a group of that name. Left
    factors and the left sides of pairs do not depend on the output; they are stored without that axis.
    Factors may be in a file: of these, only so many rows are read.
    """
    yield schema.OUTPUTS, outputs
    if regions is not None:
        yield schema.REGIONS, regions
    for block in jacobian:
        for side, factor in _sides(block):
            for name, values in factor.load(0, rows).arrays.items():
                place = f"{schema.BLOCKS}/{one_level(block.name)}/{side}"
                place = f"{place}/{name}" if len(factor.arrays) > 1 else place
                array = np.asarray(values)
                without_outputs = schema.LEFT in (side, name) and array.ndim > 2
                yield place, array[:, 0] if without_outputs else array


def _sides(block: Block) -> list[tuple[str, Factor]]:
    """Return both factors by their names in the file."""
    return [(schema.LEFT, block.left), (schema.RIGHT, block.right)]


def create_dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> h5py.Dataset:
    """Create a dataset in chunks of whole rows, of 1 to 4 MiB as docs/run-format.md asks."""
    if not math.prod(shape):
        return group.create_dataset(name, shape=shape, dtype=dtype)
    row_bytes = np.dtype(dtype).itemsize * math.prod(shape[1:])
    chunk = (_evenly(shape[0], CHUNK_BYTES // row_bytes), *shape[1:])
    if row_bytes > 2 * CHUNK_BYTES:  # one row of a large dense Jacobian: the last axis is cut, too
        chunk = (*chunk[:-1], _evenly(shape[-1], CHUNK_BYTES * shape[-1] // row_bytes))
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=chunk)


def _evenly(length: int, most: int) -> int:
    """Return the least length of as many pieces as those of length `most`, or 1 if that is less.

    The last chunk takes as much of the disk as the others.
    """
    return math.ceil(length / math.ceil(length / max(most, 1)))


def has_pairs(snapshot: h5py.Group) -> bool:
    """Return whether a factor of a snapshot is one of pairs, which need version 2 of the format."""
    sides = (side for block in snapshot[schema.BLOCKS].values() for side in block.values())
    return any(isinstance(side, h5py.Group) and schema.RIGHT in side for side in sides)
