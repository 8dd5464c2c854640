"""Cut kernels into tiles, load the factors that the tiles need, and compute them.

Every block contributes the elementwise product of two small Gram matrices. So a tile of n rows and columns
takes n^2 (a + b) multiplications per block instead of n^2 a b (Novak, Sohl-Dickstein, Schoenholz 2022, "Fast
Finite Width Neural Tangent Kernel", use the same identity for dense layers).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Array, Backend
from ntkspec.jacobian import Jacobian, Pair
from ntkspec.kernel.forms import Columns, TileForm, columns_of, forms_of, matrices
from ntkspec.kernel.problem import Kernel


@dataclass(frozen=True)
class Strip:
    """The factors of the samples start:stop on the device: the rows or the columns of a tile."""

    start: int
    stop: int
    pairs: Mapping[str, Pair]  # by block


@dataclass(frozen=True)
class Tiling:
    """The sizes by which a kernel is cut into tiles."""

    panel: int  # samples whose factors are in memory at once: all of them, or a multiple of `step`
    step: int  # samples of a tile, so that every strip begins at a multiple of it

    @staticmethod
    def from_sizes(kernel: Kernel, panel: int, tile: int) -> Tiling:
        """Choose tiles of about `tile` rows, and panels of at most `panel` samples that are whole tiles."""
        step = min(max(tile // kernel.repeat, 1), panel)
        most = max(side.samples for side in kernel.sides)
        return Tiling(panel if panel == most else panel // step * step, step)


def panel_pairs(
    kernel: Kernel,
    tiling: Tiling,
    skip: Callable[[int, int], bool] | None = None,
    forms: Mapping[str, TileForm] | None = None,
) -> Iterator[list[tuple[Strip, Strip]]]:
    """Yield the tiles to compute, those of one pair of panels at a time.

    Of a symmetric kernel only tiles on and below the diagonal are computed. A panel is read only if one of
    its tiles has to be computed.

    Args:
        skip: returns whether to leave out a tile, given by its first samples (row, column).
        forms: name of a block -> its form; default: chosen from all samples of this kernel.
    """
    panel, step, symmetric = tiling.panel, tiling.step, kernel.columns is None
    row_side, column_side = kernel.sides[0], kernel.sides[-1]
    reading = _reading(kernel, tiling, forms)
    for top in range(0, row_side.samples, panel):
        rows: dict[int, Strip] = {}
        for left in range(0, top + 1 if symmetric else column_side.samples, panel):
            missing = [
                (row, column)
                for row in range(top, min(top + panel, row_side.samples), step)
                for column in range(left, min(left + panel, column_side.samples), step)
                if (column <= row or not symmetric) and not (skip and skip(row, column))
            ]
            if missing:
                rows = rows or _strips(kernel, row_side, top, tiling, reading)
                same = symmetric and left == top
                columns = rows if same else _strips(kernel, column_side, left, tiling, reading)
                yield [(rows[row], columns[column]) for row, column in missing]


def first_samples(kernel: Kernel, step: int) -> Iterator[tuple[int, int]]:
    """Yield the first samples (row, column) of every tile that `panel_pairs` may yield."""
    rows, columns = kernel.sides[0].samples, kernel.sides[-1].samples
    for row in range(0, rows, step):
        for column in range(0, row + 1 if kernel.columns is None else columns, step):
            yield row, column


Reading = Mapping[str, tuple[TileForm, tuple[Columns, Columns]]]  # by block: arguments of `forms.matrices`


def _reading(kernel: Kernel, tiling: Tiling, forms: Mapping[str, TileForm] | None) -> Reading | None:
    """Return the form and the columns in which to read each block, or None if all samples are read at once.

    If all samples are read at once, the form is chosen from the loaded factors instead.
    """
    if forms is None:
        if kernel.columns is None and tiling.panel == kernel.rows.samples:
            return None
        forms = forms_of(kernel)
    return {name: (forms[name], columns_of(kernel, name, forms[name])) for name in kernel.rows.names}


def _strips(
    kernel: Kernel, jacobian: Jacobian, start: int, tiling: Tiling, reading: Reading | None
) -> dict[int, Strip]:
    """Read the samples of one panel and return them as strips, by first sample; `reading`: see `_reading`."""
    stop = min(start + tiling.panel, jacobian.samples)
    if reading is None:
        pairs = device_pairs(kernel)
    else:
        pairs = {}
        for block in jacobian:
            form, columns = reading[block.name]
            pairs[block.name] = matrices(block.load(start, stop), columns, form, kernel)
    strips = {}
    for first in range(start, stop, tiling.step):
        end = min(first + tiling.step, stop)
        strips[first] = Strip(first, end, take(pairs, slice(first - start, end - start), kernel.backend))
    return strips


def device_pairs(kernel: Kernel) -> dict[str, Pair]:
    """Return the factors of all blocks as matrices on the device, in the kernel's mode and precision."""
    return {term.block.name: term.for_tiles(kernel.dtype) for term in kernel.terms}


def take(pairs: Mapping[str, Pair], samples: slice | NDArray[Any], engine: Backend) -> dict[str, Pair]:
    """Return the factors of some samples in the form that `Backend.add_tile` expects."""

    def some(pair: Pair) -> Pair:
        left = None if pair.left is None else engine.rows(pair.left, samples)
        return Pair(left, engine.rows(pair.right, rows_of(samples, pair.repeat)), pair.repeat)

    return {name: some(pair) for name, pair in pairs.items()}


def rows_of(samples: slice | NDArray[Any], repeat: int) -> slice | NDArray[Any]:
    """Return the rows of the kernel that belong to some samples."""
    if isinstance(samples, slice):
        return slice(samples.start * repeat, samples.stop * repeat)
    return (samples[:, None] * repeat + np.arange(repeat)).ravel()


Groups = Mapping[tuple[str, ...], tuple[str, ...]]  # names of kernels -> blocks of just these kernels


def groups_of(parts: Mapping[str, Jacobian]) -> Groups:
    """Group blocks that belong to the same kernels, so that the sum of a group is computed once."""
    blocks = dict.fromkeys(name for jacobian in parts.values() for name in jacobian.names)
    groups: dict[tuple[str, ...], tuple[str, ...]] = {}
    for block in blocks:
        targets = tuple(name for name, jacobian in parts.items() if block in jacobian.names)
        groups[targets] = (*groups.get(targets, ()), block)
    return groups


def scratch_bytes(kernel: Kernel, groups: Groups, rows: int) -> int:
    """Return the bytes of all tiles of about `rows` rows that are in memory at the same time.

    Each worker has the tiles of the sums, one more, and those for the Gram matrices of two factors: one each,
    or more if sums are long.
    """
    products = max(
        term.block.left.buffers(1) + term.block.right.buffers(term.outputs_added) for term in kernel.terms
    )
    tiles = 2 * len(groups) + 1 + products
    rows = min(max(rows, kernel.repeat), max(kernel.shape))
    return kernel.backend.workers * tiles * rows**2 * kernel.dtype.itemsize


def compute(row: Strip, column: Strip, groups: Groups, kernel: Kernel) -> dict[str, Array]:
    """Compute the tile of every kernel between two strips, by the kernel's name."""
    engine = kernel.backend
    shape = ((row.stop - row.start) * kernel.repeat, (column.stop - column.start) * kernel.repeat)
    terms: dict[str, list[Array]] = {}  # of each kernel
    for targets, blocks in groups.items():
        tile = engine.scratch(f"sum of {blocks}", shape, kernel.dtype)
        tile[...] = 0
        add_blocks(tile, blocks, row.pairs, column.pairs, engine)
        for name in targets:
            terms.setdefault(name, []).append(tile)
    return {name: _added(tiles, f"kernel {name}", engine) for name, tiles in terms.items()}


def add_blocks(
    tile: Array,
    blocks: Iterable[str],
    rows: Mapping[str, Pair],
    columns: Mapping[str, Pair],
    engine: Backend,
) -> None:
    """Add these blocks' kernels between two sets of samples to a tile.

    If only one of the two sides has a left factor, that of the other is a column of ones.
    """
    for block in blocks:
        row, column = rows[block], columns[block]
        left = None
        if row.left is not None or column.left is not None:
            left = tuple(
                engine.xp.ones((length // pair.repeat, 1), tile.dtype) if pair.left is None else pair.left
                for pair, length in zip((row, column), tile.shape, strict=True)
            )
        engine.add_tile(tile, left, (row.right, column.right), row.repeat)


def _added(tiles: list[Array], name: str, engine: Backend) -> Array:
    """Return the sum of tiles; a single tile is returned without a copy."""
    if len(tiles) == 1:
        return tiles[0]
    total = engine.scratch(name, tiles[0].shape, tiles[0].dtype)
    total[...] = tiles[0]
    for tile in tiles[1:]:
        total += tile
    return total
