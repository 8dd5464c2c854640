"""Tiles of kernels: which there are, which factors they need, and how one is computed.

Every block contributes the elementwise product of two small Gram matrices, so a tile of K costs
n^2 (a + b) multiplications a block instead of n^2 a b (Novak, Sohl-Dickstein, Schoenholz 2022,
"Fast Finite Width Neural Tangent Kernel", use the same identity for dense layers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.backend import Backend
from ntkspec.jacobian import Factor, Jacobian, Matrix, Outputs, Pair, rows_per_sample
from ntkspec.sums import buffers

MEETING = (
    256  # steps of the sparse tile for two rows that meet in a column, in multiplications of a dense one
)
WIDEST = 1024  # columns of a sparse factor that may be written out as a dense panel


@dataclass(frozen=True)
class Strip:
    """The factors of samples start:stop on the device."""

    start: int
    stop: int
    pairs: Mapping[str, Pair]  # by block


@dataclass(frozen=True)
class Grid:
    """How kernels are cut into tiles."""

    outputs: Outputs
    repeat: int  # rows of the kernel per sample
    panel: int  # samples whose factors are held at once: all of them, or a multiple of `step`
    step: int  # samples of a tile, so that every strip but the last begins at a multiple of it


def panel_pairs(
    jacobian: Jacobian, grid: Grid, engine: Backend, dtype: Any
) -> Iterator[tuple[list[tuple[Strip, Strip]], float]]:
    """The tiles on and below the diagonal, a pair of panels at a time, and the share of all that they are.

    A panel is read from the file when its turn comes.
    """
    n = jacobian.samples
    for start in range(0, n, grid.panel):
        rows = _strips(jacobian, start, grid, engine, dtype)
        for other in range(0, start + 1, grid.panel):
            columns = rows if other == start else _strips(jacobian, other, grid, engine, dtype)
            tiles = [(row, column) for row in rows for column in columns if column.start <= row.start]
            yield tiles, len(tiles) / _count(n, grid)


def _count(samples: int, grid: Grid) -> int:
    """Tiles on and below the diagonal."""
    strips = -(-samples // grid.step)
    return strips * (strips + 1) // 2


def _strips(jacobian: Jacobian, start: int, grid: Grid, engine: Backend, dtype: Any) -> list[Strip]:
    stop = min(start + grid.panel, jacobian.samples)
    loaded = jacobian.load(start, stop)
    if loaded.samples == jacobian.samples:  # else the panels' numberings of columns would differ
        loaded = compact(loaded)
    pairs = device_pairs(loaded, grid.outputs, engine, dtype)
    cuts = [(at, min(at + grid.step, stop - start)) for at in range(0, stop - start, grid.step)]
    return [Strip(start + at, start + end, take(pairs, slice(at, end), engine)) for at, end in cuts]


def device_pairs(jacobian: Jacobian, outputs: Outputs, engine: Backend, dtype: Any) -> dict[str, Pair]:
    """The factors of all blocks as matrices on the device."""
    return {block.name: _put(block.pair(outputs, dtype), engine, dtype) for block in jacobian}


def compact(jacobian: Jacobian) -> Jacobian:
    """The blocks in memory, without the columns that no sample touches."""
    return Jacobian(tuple(block.compact() for block in jacobian))


def _put(pair: Pair, engine: Backend, dtype: Any) -> Pair:
    left = None if pair.left is None else engine.put(_panel(pair.left), dtype)
    return Pair(left, engine.put(_panel(pair.right), dtype), pair.repeat)


def take(pairs: Mapping[str, Pair], samples: slice | NDArray[Any], engine: Backend) -> dict[str, Pair]:
    """The factors of some of the samples, as `Backend.add_tile` wants them."""

    def of(pair: Pair) -> Pair:
        left = None if pair.left is None else engine.rows(pair.left, samples)
        return Pair(left, engine.rows(pair.right, rows_of(samples, pair.repeat)), pair.repeat)

    return {name: of(pair) for name, pair in pairs.items()}


def rows_of(samples: slice | NDArray[Any], repeat: int) -> slice | NDArray[Any]:
    """The rows of the kernel that belong to some samples."""
    if isinstance(samples, slice):
        return slice(samples.start * repeat, samples.stop * repeat)
    return (samples[:, None] * repeat + np.arange(repeat)).ravel()


def _panel(matrix: Matrix) -> Matrix:
    """Sparse factors in which nearly every pair of samples meets (coarse grid levels) go dense."""
    if sp.issparse(matrix) and matrix.shape[1] <= WIDEST:
        meetings = float((np.bincount(matrix.indices, minlength=1).astype(np.float64) ** 2).sum())
        if MEETING * meetings > float(matrix.shape[0]) ** 2 * matrix.shape[1]:
            return matrix.toarray()
    return matrix


@dataclass(frozen=True)
class Sums:
    """Which blocks are added up to which kernels."""

    groups: Mapping[tuple[str, ...], tuple[str, ...]]  # names of kernels -> blocks that go to just these

    @staticmethod
    def of(sums: Mapping[str, Jacobian]) -> Sums:
        """Blocks that go to the same kernels are added up once."""
        blocks = dict.fromkeys(name for jacobian in sums.values() for name in jacobian.names)
        groups: dict[tuple[str, ...], tuple[str, ...]] = {}
        for block in blocks:
            targets = tuple(name for name, jacobian in sums.items() if block in jacobian.names)
            groups[targets] = (*groups.get(targets, ()), block)
        return Sums(groups)

    def scratch_bytes(self, size: int, rows: int, workers: int, dtype: Any, sums: int) -> int:
        """Bytes of the tiles that are at work at the same time.

        Sums of groups, a spare, and `sums` for the products of the two factors, see `product_tiles`.
        """
        tiles = 2 * len(self.groups) + 1 + sums
        return workers * tiles * min(rows, size) ** 2 * int(np.dtype(dtype).itemsize)


def compute(row: Strip, column: Strip, sums: Sums, grid: Grid, engine: Backend, dtype: Any) -> dict[str, Any]:
    """The tile (rows of `row`, rows of `column`) of every kernel, by name."""
    shape = ((row.stop - row.start) * grid.repeat, (column.stop - column.start) * grid.repeat)
    parts: dict[str, list[Any]] = {}
    for targets, blocks in sums.groups.items():
        tile = engine.scratch(f"sum of {blocks}", shape, dtype)
        tile[...] = 0
        add_blocks(tile, blocks, row.pairs, column.pairs, engine)
        for name in targets:
            parts.setdefault(name, []).append(tile)
    return {name: _added(found, f"kernel {name}", engine) for name, found in parts.items()}


def add_blocks(
    tile: Any,
    blocks: Iterable[str],
    rows: Mapping[str, Pair],
    columns: Mapping[str, Pair],
    engine: Backend,
) -> None:
    """Add these blocks' kernels between two sets of samples to a tile."""
    for block in blocks:
        a, b = rows[block], columns[block]
        left = None if a.left is None else (a.left, b.left)
        engine.add_tile(tile, left, (a.right, b.right), a.repeat)


def product_tiles(jacobian: Jacobian, outputs: Outputs) -> int:
    """Tiles that the products of two factors take: one each, and more where their sums are long."""
    c = jacobian.outputs if outputs == "trace" else 1

    def tiles(factor: Factor | None, times: int) -> int:
        return buffers(times * factor.width) if factor and not factor.sparse else 1

    return max(tiles(block.left, 1) + tiles(block.right, c) for block in jacobian)


def _added(tiles: list[Any], name: str, engine: Backend) -> Any:
    if len(tiles) == 1:
        return tiles[0]
    total = engine.scratch(name, tiles[0].shape, tiles[0].dtype)
    total[...] = tiles[0]
    for tile in tiles[1:]:
        total += tile
    return total


def cut(jacobian: Jacobian, outputs: Outputs, panel: int, tile: int) -> Grid:
    """Tiles of about `tile` rows of the kernel, panels of at most `panel` samples and of whole tiles."""
    repeat = rows_per_sample(outputs, jacobian.outputs)
    step = min(max(tile // repeat, 1), panel)
    return Grid(outputs, repeat, panel if panel == jacobian.samples else panel // step * step, step)
