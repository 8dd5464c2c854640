"""Use datasets of a run file as arrays: their structure is checked, their numbers are read on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import RunFileError
from ntkspec.machine.memory import format_bytes, require, samples_at_once
from ntkspec.store import checks, digest
from ntkspec.store.checks import AnyArray

PANEL_BYTES = 64 * 2**20  # that `Stored.panels` reads at a time
COMPRESSION = 2000  # no filter of HDF5 makes numbers so many times smaller; deflate reaches 1032


@dataclass(frozen=True)
class Stored:
    """A dataset (n, ...) of numbers, read in ranges of rows within a memory budget.

    Factors that are opened from a run file have such datasets in place of arrays.
    """

    data: h5py.Dataset
    where: str  # names it in messages
    budget: int  # bytes that one read may take
    positive: bool = False  # whether the contract asks for numbers > 0
    below: int | None = None  # indices are less than this, and -1 or more
    one_output: bool = False  # whether it lacks the axis of outputs, which `shape` then adds

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape that a factor's array has: with an axis of outputs."""
        n, *others = (int(size) for size in self.data.shape)
        return (n, 1, *others) if self.one_output else (n, *others)

    def __getitem__(self, rows: slice) -> AnyArray:
        """Read rows, with an axis of outputs; see `read`."""
        values = self.read(rows.start or 0, rows.stop)[:: rows.step]
        return values[:, None] if self.one_output else values

    def take(self, samples: NDArray[np.intp], axis: int = 0) -> AnyArray:
        """Read the rows of some samples, in their order; a range of rows is in memory at a time."""
        a_row, n = self.nbytes // self.data.shape[0], int(self.data.shape[0])
        require(self.where, len(samples) * a_row, self.budget, "raise ⟦--memory⟧ or take fewer samples")
        values: AnyArray = np.empty((len(samples), *self.shape[1:]), self.dtype)
        step = samples_at_once(min(PANEL_BYTES, self.budget), n, self.nbytes)
        for start in range(0, n, step):
            places = np.flatnonzero((samples >= start) & (samples < start + step))
            if len(places):
                first, last = int(samples[places].min()), int(samples[places].max())
                values[places] = self[first : last + 1][samples[places] - first]
        return values

    @property
    def nbytes(self) -> int:
        """Return the bytes of all numbers."""
        return int(self.data.size) * int(self.data.dtype.itemsize)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the numbers, in native byte order."""
        dtype: np.dtype[Any] = self.data.dtype.newbyteorder("=")
        return dtype

    def read(self, start: int = 0, stop: int | None = None) -> AnyArray:
        """Read the rows start:stop, in native byte order and as they are stored.

        If these are all rows, they are compared with the writer's checksum, where there is one.

        Raises:
            MemoryBudgetError: they take more than the budget.
            RunFileError: they cannot be read, or are not what the contract or the checksum says.
        """
        values = self._read(start, stop)
        if len(values) == self.data.shape[0]:
            checksum = digest.stored_crc(self.data, self.where)
            if checksum is not None:
                digest.compare_crc(checksum, digest.crc32(values), self.where)
        return values

    def _read(self, start: int, stop: int | None) -> AnyArray:
        """Read rows and check each number, but no checksum."""
        require_open(self.data, self.where)
        rows = range(*slice(start, stop).indices(self.data.shape[0]))
        need = self.nbytes // self.data.shape[0] * len(rows)
        require(self.where, need, self.budget, "raise ⟦--memory⟧, or use fewer samples or parameters")
        with checks.reading(self.where):
            values = np.empty((len(rows), *self.data.shape[1:]), self.dtype)
            self.data.read_direct(values, np.s_[rows.start : rows.stop])
        self.check_rows(values, rows.start)
        return values

    def check_rows(self, values: AnyArray, start: int = 0) -> None:
        """Raise `RunFileError` where numbers are none that the contract allows in this dataset.

        Args:
            values: some of its rows, read from it or about to be written.
            start: number of the first row.
        """
        if self.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            place = [int(bad[0]) + start, *map(int, bad[1:])]
            raise RunFileError(
                self.where,
                expected="finite numbers",
                got=f"{values[tuple(bad)]} at {place}",
                remedy="leave out these samples; where a network diverged, export an earlier snapshot",
            )
        if self.positive and not (values > 0).all():
            raise RunFileError(
                self.where, expected="positive numbers", got="zero or negative ones", remedy="mend the writer"
            )
        if self.below is not None and len(bad := np.argwhere((values < -1) | (values >= self.below))):
            raise RunFileError(
                self.where,
                expected=f"indices from 0 to {self.below - 1}, or -1 for padding",
                got=f"{values[tuple(bad[0])]} in row {start + int(bad[0][0])}",
                remedy="number columns from 0, and state how many there are",
            )

    def check(self) -> None:
        """Read every number once; raise `RunFileError` where they are not what was written."""
        for _ in self.panels():
            pass

    def panels(self) -> Iterator[tuple[int, AnyArray]]:
        """Yield all numbers in ranges of rows of about 64 MiB: the first row and the values.

        Raises:
            RunFileError: see `read`; a wrong checksum is found at the end.
        """
        checksum = digest.stored_crc(self.data, self.where)
        n, computed = int(self.data.shape[0]), 0
        step = samples_at_once(min(PANEL_BYTES, self.budget), n, self.nbytes)
        for start in range(0, n, step):
            values = self._read(start, min(start + step, n))
            if checksum is not None:
                computed = digest.crc32(values, computed)
            yield start, values
        digest.compare_crc(checksum, computed, self.where)

    @property
    def filtered(self) -> bool:
        """Return whether HDF5 applies a filter such as decompression, which may crash on damaged data."""
        with checks.reading(self.where):
            return bool(self.data.id.get_create_plist().get_nfilters())


def require_open(place: h5py.File | h5py.Dataset, where: str) -> None:
    """Raise `RunFileError` if the file that holds this was closed."""
    if not place:
        raise RunFileError(
            where,
            expected="an open run file",
            got="one that was closed",
            remedy="read inside the with-block, or load() the blocks before it ends",
        )


def open_stored(
    group: h5py.Group,
    name: str,
    where: str,
    dtypes: tuple[np.dtype[Any], ...],
    shape: tuple[int | None, ...],
    budget: int,
) -> Stored:
    """Open a dataset for reading, checked by `checks.dataset`.

    Args:
        group: where to look.
        name: of the dataset.
        where: the group, for messages.
        dtypes: see `checks.dataset`.
        shape: see `checks.dataset`.
        budget: bytes that one read may take.

    Raises:
        RunFileError: see `checks.dataset`; or its shape has more numbers than its bytes in the file can hold.
        MemoryBudgetError: a compressed chunk, which HDF5 reads as a whole, does not fit.
    """
    data = checks.dataset(group, name, where, dtypes, shape)
    stored = Stored(data, f"{where}/{name}", budget)
    with checks.reading(stored.where):
        size = int(data.id.get_storage_size())
    if stored.nbytes > max(budget, COMPRESSION * size):
        raise RunFileError(
            stored.where,
            expected="the numbers that it claims",
            got=f"{format_bytes(stored.nbytes)} claimed, {format_bytes(size)} stored",
            remedy="write the file again",
        )
    # HDF5 has a whole chunk in memory to undo a filter.
    chunk = math.prod(data.chunks or (0,)) * data.dtype.itemsize
    if chunk > budget and stored.filtered:
        require(f"{stored.where}, a chunk", chunk, budget, "raise ⟦--memory⟧, or write smaller chunks")
    return stored
