"""Write squares of tiles that other processes compute to files, and merge these into a kernel file.

The file <path>.part.tiles/<first row>-<end>-<first column>-<end>-<mark> contains the numbers (rows, columns)
of each kernel, each followed by its CRC-32. Its name gives the samples of the rows and columns; the mark
identifies the kernels and the tile size. A file has this name only once it is complete, so that a process
which continues unfinished work can use the squares that it finds.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from ntkspec._io import replacing
from ntkspec.kernel.kernel_file import KernelFile, not_ours, unfinished_path
from ntkspec.store.disk import writing

NAME = re.compile(r"(\d+)-(\d+)-(\d+)-(\d+)-([0-9a-f]{16})")
UNFINISHED = re.compile(r"\." + NAME.pattern + r"\.[0-9a-f]{8}\.part")
CRC_BYTES = 4


@dataclass(frozen=True)
class Square:
    """A square part of a kernel, on or below the diagonal, given by the samples of its rows and columns."""

    rows: range
    columns: range

    @property
    def on_diagonal(self) -> bool:
        """Return whether rows and columns are the same."""
        return self.rows == self.columns

    def first_samples(self, step: int) -> Iterator[tuple[int, int]]:
        """Yield the first samples (row, column) of its tiles that are on or below the diagonal."""
        for row in self.rows[::step]:
            for column in self.columns[::step]:
                if column <= row:
                    yield row, column


def squares_of(samples: int, side: int) -> Iterator[Square]:
    """Yield squares of `side` samples that cover a symmetric kernel on and below its diagonal.

    The squares in the last row and column may be smaller.

    Example:
        >>> [(square.rows, square.columns) for square in squares_of(5, 3)]
        [(range(0, 3), range(0, 3)), (range(3, 5), range(0, 3)), (range(3, 5), range(3, 5))]
    """
    strips = [range(start, min(start + side, samples)) for start in range(0, samples, side)]
    for last, rows in enumerate(strips):
        for columns in strips[: last + 1]:
            yield Square(rows, columns)


def folder_of(path: Path) -> Path:
    """Return the folder of the squares of a kernel file."""
    return path.with_name(unfinished_path(path).name + ".tiles")


def place_of(file: KernelFile, square: Square) -> Path:
    """Return the path of the file for a square of a kernel file."""
    bounds = (square.rows.start, square.rows.stop, square.columns.start, square.columns.stop)
    return folder_of(file.path) / "-".join([*map(str, bounds), _mark(file)])


def write_square(place: Path, kernels: Iterable[NDArray[Any]]) -> None:
    """Write a square of several kernels, each (rows, columns), to a file, which appears only when complete.

    Raises:
        OutputError: the disk is full, or the folder does not exist any more.
    """
    with writing(place), replacing(place) as part, part.open("wb") as handle:
        for kernel in kernels:
            numbers = np.ascontiguousarray(kernel)
            handle.write(numbers.data)
            handle.write(_crc(numbers))


def missing(file: KernelFile, square: Square) -> bool:
    """Return whether at least one tile of a square is missing in the kernel file."""
    return not all(file.has(row, column) for row, column in square.first_samples(file.plan.tiling.step))


def merge(file: KernelFile, square: Square) -> bool:
    """Copy a square into the kernel file, mark its tiles as done, and remove its own file.

    Returns:
        True, or False if the square's file is missing or damaged; then no tile is marked.
    """
    place, kernel = place_of(file, square), file.plan.kernel
    if not place.exists():
        return False
    shape = len(square.rows) * kernel.repeat, len(square.columns) * kernel.repeat
    corner = square.rows.start * kernel.repeat, square.columns.start * kernel.repeat
    with writing(file.path), place.open("rb") as handle:
        for name in file.plan.names:
            numbers = np.fromfile(handle, kernel.dtype, shape[0] * shape[1])
            if numbers.size < shape[0] * shape[1] or _crc(numbers) != handle.read(CRC_BYTES):
                return False
            kernel.backend.store(file.kernels[name], *corner, numbers.reshape(shape))
        file.mark(square.first_samples(file.plan.tiling.step))
        place.unlink()
    return True


def take_up(file: KernelFile) -> None:
    """Merge the squares that an interrupted run left, and delete files that are of no use.

    Raises:
        OutputError: there is another kind of file in their folder.
    """
    for place in files_in(file.path):
        square = _square_in(file, place)
        if square is None or not missing(file, square) or not merge(file, square):
            with writing(file.path):
                place.unlink()


def files_in(path: Path) -> list[Path]:
    """Return the files of squares that belong to a kernel file, unfinished ones included.

    Raises:
        OutputError: there is another kind of file in their folder.
    """
    folder = folder_of(path)
    if not os.path.lexists(folder):
        return []
    if not folder.is_dir():
        raise not_ours(folder, "another file")
    with writing(path):
        places = sorted(folder.iterdir())
    for place in places:
        if not (NAME.fullmatch(place.name) or UNFINISHED.fullmatch(place.name)):
            raise not_ours(place, "another file")
    return places


def remove_folder(path: Path) -> None:
    """Remove the folder of squares of a complete kernel file; squares still there were computed twice."""
    if folder_of(path).is_dir():
        for place in files_in(path):
            place.unlink()
        folder_of(path).rmdir()


def _mark(file: KernelFile) -> str:
    """Return a mark that is equal for the same kernels in the same tiles."""
    return hashlib.sha256(repr((file.fingerprint, file.plan.tiling.step)).encode()).hexdigest()[:16]


def _square_in(file: KernelFile, place: Path) -> Square | None:
    """Return the square that a file is named after, or None if it is of other kernels."""
    match = NAME.fullmatch(place.name)
    if match is None or match[5] != _mark(file):
        return None
    row, row_end, column, column_end = (int(number) for number in match.groups()[:4])
    return Square(range(row, row_end), range(column, column_end))


def _crc(numbers: NDArray[Any]) -> bytes:
    """Return the CRC-32 of an array's bytes."""
    return crc32(numbers.data.cast("B")).to_bytes(CRC_BYTES, "little")
