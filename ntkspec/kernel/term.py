"""Terms: the part of one block in a kernel, the elementwise product of the Gram matrices of its two factors.

    K_block = (L L^T) o (R R^T)

Here each row of L is repeated for every row of the kernel that belongs to its sample. J v and J^T u are
computed from L and R without forming J. Results are cached if there is enough memory. Kernels of several sums
of blocks share the terms of the blocks that they have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.backend import Array, Backend
from ntkspec.jacobian import Block, Outputs, Pair, rows_per_sample
from ntkspec.machine.memory import samples_at_once
from ntkspec.summation import over_samples, pairwise, panels

T = TypeVar("T")

PIECE_BYTES = 2**26  # of a block, read at once
GROWN = 2  # times a block as stored: larger matrices for tiles are not cached
VECTORS = 16  # that an operator multiplies at once, unless a single one fills a piece


class cached_if_room(Generic[T]):
    """A property that is computed once if its owner's attribute `caches` is True, else at every access."""

    def __init__(self, find: Callable[[Any], T]) -> None:
        self.find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = f"_cached_{name}"

    def __get__(self, term: Any, owner: type | None = None) -> T:
        if not term.caches:
            return self.find(term)
        if self.name not in term.__dict__:
            term.__dict__[self.name] = self.find(term)
        value: T = term.__dict__[self.name]
        return value


@dataclass(frozen=True, eq=False)
class Term:
    """The term of a block in one output mode, and the backend that computes it."""

    block: Block  # in memory or in a run file
    outputs: Outputs
    engine: Backend
    caches: bool = False  # whether arrays computed from it may stay in memory

    @cached_if_room
    def compact(self) -> Block:
        """Return the block, in memory, without columns that no sample touches."""
        return self.block.compact()

    @cached_if_room
    def pair(self) -> Pair:
        """Return both factors as float64 device matrices; entries of the same index are added up."""
        return self._put(self.compact)

    def for_tiles(self, dtype: DTypeLike) -> Pair:
        """Return both factors as device matrices that `Backend.rows` expects; cached if there is room.

        Args:
            dtype: of the matrices.
        """
        cache: dict[str, Pair] = self.__dict__.setdefault("_for_tiles", {})
        name = str(np.dtype(dtype))
        if name in cache:
            return cache[name]
        pair = self.compact.pair(self.outputs, dtype)
        pair = pair.map(lambda matrix: self.engine.put_for_tiles(matrix, dtype))
        dense = [m for m in (pair.left, pair.right) if m is not None and not self.engine.is_sparse(m)]
        dense_bytes = sum(int(matrix.nbytes) for matrix in dense)
        if self.caches and dense_bytes <= GROWN * self.block.nbytes:  # a coarse grid written out is larger
            cache[name] = pair
        return pair

    @property
    def absolute_pair(self) -> Pair:
        """Return the absolute values of the matrices of `pair`."""
        return self.pair.map(abs)

    @property
    def uncancelled_pair(self) -> Pair:
        """Return the matrices of the block with absolute values of all entries; see `Factor.absolute`."""
        return self._put(self.block.absolute().compact()) if self.additions else self.absolute_pair

    @cached_if_room
    def diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal of the term (rows,): |left_i|^2 |right_i|^2."""
        return self._diagonal(absolute=False)

    @cached_if_room
    def absolute_diagonal(self) -> NDArray[np.float64]:
        """Return the diagonal (rows,) of the term of absolute values; see `Factor.absolute`."""
        return self._diagonal(absolute=True) if self.additions else self.diagonal

    @cached_property
    def additions(self) -> int:
        """Return the most additions of entries of the same index for one number, summed over both factors."""
        return max(sum(factor.collisions - 1 for factor in piece.factors) for _, piece in self.pieces())

    @cached_property
    def touched_width(self) -> int:
        """Return how many columns of J any sample touches; this reads sparse indices."""
        left, right = (factor.touched_width for factor in self.block.factors)
        return left * right * self.outputs_added

    def largest_factor(self, working: np.dtype[Any]) -> float:
        """Return an upper bound on the entries of both Gram matrices: an underflow is multiplied by these."""
        pairs = (piece.compact().pair(self.outputs, working) for _, piece in self.pieces())
        return max(_largest_entries(pair) for pair in pairs)

    @property
    def size(self) -> int:
        """Return N, the rows of the kernel."""
        return self.block.samples * rows_per_sample(self.outputs, self.block.outputs)

    @property
    def outputs_added(self) -> int:
        """Return over how many outputs an entry of the kernel is summed."""
        return self.block.outputs if self.outputs == "trace" else 1

    @property
    def nonzero(self) -> bool:
        """See `Block.nonzero`."""
        return any(piece.nonzero(self.outputs) for _, piece in self.pieces())

    def pieces(self) -> Iterator[tuple[int, Block]]:
        """Yield (start, piece) for consecutive ranges of samples: the first sample and the loaded block."""
        step = samples_at_once(PIECE_BYTES, self.block.samples, self.block.nbytes)
        for start in range(0, self.block.samples, step):
            yield start, self.block.load(start, min(start + step, self.block.samples))

    def columns(self, width: int) -> Iterator[Array]:
        """Yield the columns of J that samples touch, as dense device arrays (rows, m), m <= `width`."""
        pair, engine = self.pair, self.engine
        for right_columns in _ranges(pair.right.shape[1], width):
            right = engine.columns(pair.right, right_columns)
            if pair.left is None:
                yield right.copy()
                continue
            for left_columns in _ranges(pair.left.shape[1], max(width // right.shape[1], 1)):
                left = engine.xp.repeat(engine.columns(pair.left, left_columns), pair.repeat, axis=0)
                yield engine.xp.einsum("na,nw->naw", left, right).reshape(len(right), -1)

    def _put(self, compact: Block) -> Pair:
        return compact.pair(self.outputs).map(lambda matrix: self.engine.put(matrix, np.float64))

    def _diagonal(self, *, absolute: bool) -> NDArray[np.float64]:
        diagonal, repeat = np.empty(self.size), self.size // self.block.samples
        for start, piece in self.pieces():
            rows = slice(start * repeat, (start + piece.samples) * repeat)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                pair = self._put((piece.absolute() if absolute else piece).compact())
                diagonal[rows] = self.engine.get(_row_products(pair, self.engine))
        return diagonal


class TermOperator:
    """J v and J^T u of one block, computed from its factors for several vectors at once.

    One matrix is called inner and the other outer. A sparse matrix is preferred as inner, then the wider one:

        J^T V = inner^T [diag(v_1) outer, diag(v_2) outer, ...] = [u_1, u_2, ...]
        J U = [rowsums((inner u_1) * outer), rowsums((inner u_2) * outer), ...]

    so that m vectors take one product with m times as many columns. Sums over samples are long; they are
    added pairwise, in panels. If both matrices are sparse, one vector is multiplied at a time.
    """

    def __init__(self, pair: Pair, engine: Backend) -> None:
        self.engine = engine
        inner, outer = _by_width(pair, engine)
        samples, width = inner.shape[0], 1 if outer is None else outer.shape[1]
        self._panel = panels(samples, over_samples(samples))[0].stop
        if engine.is_sparse(inner):
            panels_a_piece, rows = 1, _rows_at_once(inner, self._panel, engine)
        else:
            panel_bytes = 8 * max(width, 1) * max(inner.shape[1], self._panel)  # of the products, a vector
            fitting = max(engine.piece_bytes // (VECTORS * panel_bytes), 1)
            panels_a_piece = 1 << fitting.bit_length() - 1  # a power of 2: all are added in one binary tree
            rows = panels_a_piece * self._panel
        piece_bytes = 8 * max(width, 1) * max(panels_a_piece * inner.shape[1], rows)  # of them, a vector
        self.at_once = max(engine.piece_bytes // piece_bytes, 1)  # vectors
        if outer is not None and engine.is_sparse(outer):
            self.at_once = 1
        self._pieces = [
            (piece, inner[piece], None if outer is None else outer[piece]) for piece in _ranges(samples, rows)
        ]

    def transposed_times(self, vectors: Array) -> Array:
        """Compute J^T V of the block for V (N, m), m <= `at_once`: (inner width, outer width m)."""

        def of_piece(i: int, _: int) -> Array:
            rows, inner, outer = self._pieces[i]
            stack = vectors[rows] if outer is None else self.engine.stack(outer, vectors[rows])
            return self.engine.transposed_product(inner, stack, self._panel)

        return pairwise(len(self._pieces), of_piece)

    def times(self, projected: Array, vectors: int) -> Array:
        """Compute J U (N, m), where U is a result of `transposed_times` for m = `vectors` vectors."""

        def of_piece(inner: Array, outer: Array) -> Array:
            product = self.engine.product(inner, projected)
            return product if outer is None else self.engine.stack_sums(product, outer, vectors)

        return self.engine.xp.concatenate([of_piece(inner, outer) for _, inner, outer in self._pieces])


def apply(blocks: Sequence[TermOperator], vectors: Array) -> Array:
    """Compute K V (N, m) on the device, where K is the sum over all blocks and V = `vectors` is (N, m)."""
    total = vectors * 0.0
    for block in blocks:
        for columns in _ranges(vectors.shape[1], block.at_once):
            some = vectors[:, columns]
            total[:, columns] += block.times(block.transposed_times(some), some.shape[1])
    return total


def _row_products(pair: Pair, engine: Backend) -> Array:
    """Compute the diagonal of a term from its two matrices."""
    right = engine.row_sums(pair.right, pair.right)
    if pair.left is None:
        return right
    return engine.xp.repeat(engine.row_sums(pair.left, pair.left), pair.repeat) * right


def _by_width(pair: Pair, engine: Backend) -> tuple[Array, Array]:
    """Return the inner and the outer matrix of a `TermOperator`, with a row for every row of the kernel."""
    left, right = _repeated(pair, engine), pair.right
    if left is None:
        return right, None
    inner, outer = sorted((right, left), key=lambda m: (not engine.is_sparse(m), -m.shape[1]))
    return inner, outer


def _rows_at_once(matrix: Array, most: int, engine: Backend) -> int:
    """Choose how many rows of a CSR matrix form a piece, so that a column has at most `most` entries.

    Then no sum over a piece is longer than a sum over a panel of `most` rows. All rows of a fine grid may be
    one piece, since few samples touch the same node.
    """
    rows = int(matrix.shape[0])
    while rows > most:
        columns = (matrix[piece].indices for piece in _ranges(matrix.shape[0], rows))
        if all(not len(touched) or int(engine.xp.bincount(touched).max()) <= most for touched in columns):
            break
        rows = -(-rows // 2)
    return max(rows, 1)


def _repeated(pair: Pair, engine: Backend) -> Array:
    """Return the left factor with a row for every row of the kernel."""
    if pair.left is None or pair.repeat == 1:
        return pair.left
    return pair.left[engine.xp.repeat(engine.xp.arange(pair.left.shape[0]), pair.repeat)]


def _largest_entries(pair: Pair) -> float:
    """Return 1 plus the sum, over both matrices, of width times the largest absolute value squared."""
    matrices = [matrix for matrix in (pair.left, pair.right) if matrix is not None and matrix.size]
    return 1.0 + sum(float(abs(matrix).max()) ** 2 * int(matrix.shape[1]) for matrix in matrices)


def _ranges(total: int, width: int) -> list[slice]:
    """Cut `total` numbers into ranges of `width`."""
    return [slice(start, min(start + width, total)) for start in range(0, total, width)]
