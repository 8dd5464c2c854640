"""Datasets of a run file as arrays: their structure is checked, their numbers are read on demand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import RunFileError
from ntkspec.memory import format_bytes, require, samples_at_once
from ntkspec.store import checks, digest

PANEL_BYTES = 64 * 2**20
COMPRESSION = 2000  # no filter of HDF5 makes numbers so much smaller; deflate ends at 1032


@dataclass(frozen=True)
class Stored:
    """A dataset (n, ...) of numbers, read in ranges of rows within a memory budget.

    A factor of a run file is one of `ntkspec.jacobian` whose arrays are such datasets.
    """

    data: h5py.Dataset
    where: str
    budget: int  # bytes that one read may take
    positive: bool = False  # whether the contract asks for numbers > 0
    below: int | None = None  # of indices, which are -1 or from 0 to this, itself left out
    one_output: bool = False  # whether it lacks the axis of outputs, which left factors have by convention

    @property
    def shape(self) -> tuple[int, ...]:
        """As factors want it."""
        n, *others = (int(size) for size in self.data.shape)
        return (n, 1, *others) if self.one_output else (n, *others)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        """Read rows; see `read`."""
        values = self.read(rows.start or 0, rows.stop)[:: rows.step]
        return values[:, None] if self.one_output else values

    def take(self, samples: NDArray[np.intp], axis: int = 0) -> NDArray[Any]:
        """Read some rows, in this order, a range of rows at a time."""
        a_row, n = self.nbytes // self.data.shape[0], int(self.data.shape[0])
        require(self.where, len(samples) * a_row, self.budget, "raise --memory or take fewer samples")
        found = np.empty((len(samples), *self.shape[1:]), self.dtype)
        step = samples_at_once(min(PANEL_BYTES, self.budget), n, self.nbytes)
        for start in range(0, n, step):
            here = np.flatnonzero((samples >= start) & (samples < start + step))
            if len(here):
                first, last = int(samples[here].min()), int(samples[here].max())
                found[here] = self[first : last + 1][samples[here] - first]
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of all numbers."""
        return int(self.data.size) * int(self.data.dtype.itemsize)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the numbers, in native byte order."""
        dtype: np.dtype[Any] = self.data.dtype.newbyteorder("=")
        return dtype

    def read(self, start: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Rows start:stop in native byte order; refuses what does not fit and what is not finite.

        All rows at once are held against the writer's checksum too, where there is one.
        """
        values = self._read(start, stop)
        if (
            len(values) == self.data.shape[0]
            and (said := digest.stored_crc(self.data, self.where)) is not None
        ):
            digest.compare_crc(said, digest.crc32(values), self.where)
        return values

    def _read(self, start: int, stop: int | None) -> NDArray[Any]:
        require_open(self.data, self.where)
        rows = range(*slice(start, stop).indices(self.data.shape[0]))
        need = self.nbytes // self.data.shape[0] * len(rows)
        require(self.where, need, self.budget, "raise --memory, or use fewer samples or parameters")
        with checks.reading(self.where):
            values = np.empty((len(rows), *self.data.shape[1:]), self.dtype)
            self.data.read_direct(values, np.s_[rows.start : rows.stop])
        if self.dtype.kind == "f" and not np.isfinite(values).all():
            bad = np.argwhere(~np.isfinite(values))[0]
            place = [int(bad[0]) + rows.start, *map(int, bad[1:])]
            raise RunFileError(
                self.where,
                expected="finite numbers",
                got=f"{values[tuple(bad)]} at {place}",
                remedy="a network that diverged cannot be analysed; export an earlier snapshot",
            )
        if self.positive and not (values > 0).all():
            raise RunFileError(
                self.where, expected="positive numbers", got="zero or negative ones", remedy="mend the writer"
            )
        if self.below is not None and len(bad := np.argwhere((values < -1) | (values >= self.below))):
            raise RunFileError(
                self.where,
                expected=f"indices from 0 to {self.below - 1}, or -1 for padding",
                got=f"{values[tuple(bad[0])]} in row {rows.start + int(bad[0][0])}",
                remedy="mend the writer",
            )
        return values

    def check(self) -> None:
        """Read every number once; raise `RunFileError` where they are not what was written."""
        for _ in self.panels():
            pass

    def panels(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """All numbers in ranges of rows of about 64 MiB: first row, values. The checksum is compared last."""
        said = digest.stored_crc(self.data, self.where)
        n, found = int(self.data.shape[0]), 0
        step = samples_at_once(min(PANEL_BYTES, self.budget), n, self.nbytes)
        for start in range(0, n, step):
            values = self._read(start, min(start + step, n))
            if said is not None:
                found = digest.crc32(values, found)
            yield start, values
        digest.compare_crc(said, found, self.where)

    @property
    def filtered(self) -> bool:
        """Whether it is compressed, or otherwise goes through code that a damaged file can lead astray."""
        with checks.reading(self.where):
            return bool(self.data.id.get_create_plist().get_nfilters())


def require_open(place: h5py.File | h5py.Dataset, where: str) -> None:
    """Raise `RunFileError` where the file that this lies in was closed."""
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
    """The dataset `name` as `checks.dataset` wants it, and not claiming numbers that the file cannot hold."""
    data = checks.dataset(group, name, where, dtypes, shape)
    stored = Stored(data, f"{where}/{name}", budget)
    with checks.reading(stored.where):
        kept = int(data.id.get_storage_size())
    if stored.nbytes > max(budget, COMPRESSION * kept):
        raise RunFileError(
            stored.where,
            expected="the numbers that it claims",
            got=f"{format_bytes(stored.nbytes)} claimed, {format_bytes(kept)} stored",
            remedy="write the file again",
        )
    # HDF5 holds a whole chunk in memory to take a filter off it.
    chunk = math.prod(data.chunks or (0,)) * data.dtype.itemsize
    if chunk > budget and stored.filtered:
        require(f"{stored.where}, a chunk", chunk, budget, "raise --memory, or write smaller chunks")
    return stored
