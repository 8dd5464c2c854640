"""One block's part of a kernel: the elementwise product of the Gram matrices of its two factors.

    K_block = (L L^T) o (R R^T),    J v and J^T u from L and R alone

with L repeated for every row of a sample. What is known of a term is found once, and kept where it may stay
in memory; the kernels of several sums of blocks share the terms of the blocks that they share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.backend import Backend
from ntkspec.jacobian import Block, Outputs, Pair, rows_per_sample
from ntkspec.sums import over_samples, pairwise, panels

PART_BYTES = 2**26  # of a block, read at once


@dataclass(frozen=True)
class Term:
    """A block in one output mode, and where its part of the kernel is computed."""

    block: Block  # in memory or in a run file
    outputs: Outputs
    engine: Backend
    held: bool = False  # whether what is made of it may stay in memory

    @property
    def compact(self) -> Block:
        """The block in memory, without the columns that no sample touches."""
        return self._compact if self.held else self.block.compact()

    @property
    def pair(self) -> Pair:
        """Both factors as matrices of float64 on the device; entries that collide have been added up."""
        return self._pair if self.held else self._put(self.block.compact())

    @cached_property
    def _compact(self) -> Block:
        return self.block.compact()

    @cached_property
    def _pair(self) -> Pair:
        return self._put(self._compact)

    def _put(self, compact: Block) -> Pair:
        pair = compact.pair(self.outputs)
        left = None if pair.left is None else self.engine.put(pair.left, np.float64)
        return Pair(left, self.engine.put(pair.right, np.float64), pair.repeat)

    @property
    def absolute_pair(self) -> Pair:
        """Absolute values of the same matrices."""
        pair = self.pair
        return Pair(None if pair.left is None else abs(pair.left), abs(pair.right), pair.repeat)

    @property
    def uncancelled_pair(self) -> Pair:
        """The same matrices of absolute values before those that collide add up."""
        if self.collisions == 0:
            return self.absolute_pair
        return self._put(self.block.absolute().compact())

    @cached_property
    def diagonal(self) -> NDArray[np.float64]:
        """The diagonal of the term (rows,): |left_i|^2 |right_i|^2."""
        return self._diagonal(absolute=False)

    @cached_property
    def absolute_diagonal(self) -> NDArray[np.float64]:
        """The diagonal of the term of absolute values, so that colliding entries do not cancel; (rows,)."""
        return self.diagonal if self.collisions == 0 else self._diagonal(absolute=True)

    @cached_property
    def collisions(self) -> int:
        """Additions of entries that collide, in both factors, at most."""
        return max(sum(f.collisions - 1 for f in part.factors) for _, part in self.parts())

    @cached_property
    def touched_width(self) -> int:
        """Columns of J that some sample touches; reads sparse indices."""
        left, right = (factor.touched_width for factor in self.block.factors)
        return left * right * self.outputs_added

    def largest_factor(self, working: np.dtype[Any]) -> float:
        """Return what an underflow in one Gram matrix may be multiplied by: the other's largest entry."""
        pairs = (part.compact().pair(self.outputs, working) for _, part in self.parts())
        return max(_largest_entries(pair) for pair in pairs)

    @property
    def outputs_added(self) -> int:
        """Outputs whose products one entry of the kernel adds up."""
        return self.block.outputs if self.outputs == "trace" else 1

    @property
    def nonzero(self) -> bool:
        """Whether some row of the block's Jacobian has a number other than zero, however small."""
        return any(
            bool(np.logical_and.reduce([factor.largest > 0 for factor in part.factors]).any())
            for _, part in self.parts()
        )

    def parts(self) -> Iterator[tuple[int, Block]]:
        """The block in memory, a few samples at a time, each with the number of its first sample."""
        step = max(PART_BYTES * self.block.samples // max(self.block.nbytes, 1), 1)
        for start in range(0, self.block.samples, step):
            yield start, self.block.load(start, min(start + step, self.block.samples))

    def columns(self, width: int) -> Iterator[Any]:
        """Yield the touched columns of J as dense device panels (rows, at most `width`), each fresh."""
        pair, engine = self.pair, self.engine
        for rights in _ranges(pair.right.shape[1], width):
            part = engine.columns(pair.right, rights)
            if pair.left is None:
                yield part.copy()
                continue
            for lefts in _ranges(pair.left.shape[1], max(width // part.shape[1], 1)):
                repeated = engine.xp.repeat(engine.columns(pair.left, lefts), pair.repeat, axis=0)
                yield engine.xp.einsum("na,nw->naw", repeated, part).reshape(len(part), -1)

    def _diagonal(self, *, absolute: bool) -> NDArray[np.float64]:
        repeat = rows_per_sample(self.outputs, self.block.outputs)
        found = np.empty(self.block.samples * repeat)
        for start, part in self.parts():
            rows = slice(start * repeat, (start + part.samples) * repeat)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                compact = (part.absolute() if absolute else part).compact()
                found[rows] = self.engine.get(_row_products(self._put(compact), self.engine))
        return found


class Halves:
    """J of one block as an operator: J v and J^T u from the block's matrices, in pieces of samples.

    The sums over samples are long; pieces of them are added pairwise.
    """

    def __init__(self, pair: Pair, engine: Backend) -> None:
        self.engine = engine
        left, samples = _repeated(pair, engine), pair.right.shape[0]
        cut = panels(samples, over_samples(samples))
        whole = len(cut) == 1
        self.pieces = [
            Pair(left if whole or left is None else left[rows], pair.right if whole else pair.right[rows], 1)
            for rows in cut
        ]

    def transposed_times(self, v: Any) -> Any:
        """Return u = left^T diag(v) right, the block's part of J^T v: (a, w) or (1, w); v (N,)."""
        starts = np.cumsum([0, *(piece.right.shape[0] for piece in self.pieces)])

        def project(i: int, _: int) -> Any:
            piece = self.pieces[i]
            return self.engine.projection(piece.left, piece.right, v[starts[i] : starts[i + 1]])

        return pairwise(len(self.pieces), project)

    def times(self, u: Any) -> Any:
        """Return J u (N,), u (a, w) as `transposed_times` makes it."""
        return self.engine.xp.concatenate([self._rows_times(piece, u) for piece in self.pieces])

    def _rows_times(self, piece: Pair, u: Any) -> Any:
        if piece.left is None:
            return self.engine.product(piece.right, u.reshape(-1, 1)).ravel()
        return self.engine.row_sums(self.engine.product(piece.left, u), piece.right)


def apply(blocks: Sequence[Halves], v: Any) -> Any:
    """K v (N,) of all blocks, v (N,) on the device."""
    return sum((block.times(block.transposed_times(v)) for block in blocks), v * 0.0)


def _row_products(pair: Pair, engine: Backend) -> Any:
    right = engine.row_sums(pair.right, pair.right)
    if pair.left is None:
        return right
    return engine.xp.repeat(engine.row_sums(pair.left, pair.left), pair.repeat) * right


def _repeated(pair: Pair, engine: Backend) -> Any:
    """The left factor with a row for every row of the kernel."""
    if pair.left is None or pair.repeat == 1:
        return pair.left
    return pair.left[engine.xp.repeat(engine.xp.arange(pair.left.shape[0]), pair.repeat)]


def _largest_entries(pair: Pair) -> float:
    both = [matrix for matrix in (pair.left, pair.right) if matrix is not None and matrix.size]
    return 1.0 + sum(float(abs(matrix).max()) ** 2 * int(matrix.shape[1]) for matrix in both)


def _ranges(total: int, width: int) -> list[slice]:
    return [slice(start, min(start + width, total)) for start in range(0, total, width)]
