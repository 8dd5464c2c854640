"""Choose the form in which the factors of a block are multiplied in tiles, from all samples of a kernel.

Two choices change the last bits of a tile: whether a sparse factor is multiplied as a dense matrix, and
whether the two vectors of each sample are balanced. If they depended on the samples in memory, the bits would
depend on how many samples are read at once, and on which process computes the tile.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import Block, Factor, Pair
from ntkspec.jacobian.sparse import distinct
from ntkspec.kernel.problem import Kernel
from ntkspec.kernel.term import Term

Columns = NDArray[np.int64] | None  # of a factor, ascending; None for all of them


@dataclass(frozen=True, eq=False)
class TileForm:
    """The form in which the two factors of a block are multiplied in tiles."""

    balanced: bool  # see `Block.pair`
    # For left and right: the columns of a sparse factor that is multiplied as a dense one; None for others.
    dense: tuple[Columns, Columns]


def forms_of(kernel: Kernel) -> dict[str, TileForm]:
    """Return the form of every block by name; this reads all factors, a range of samples at a time."""
    return {name: _form(kernel, _terms(kernel, name)) for name in kernel.rows.names}


def columns_of(kernel: Kernel, name: str, form: TileForm) -> tuple[Columns, Columns]:
    """Return, for the left and the right factor, the columns that any sample touches; None stands for all."""
    blocks = [term.block for term in _terms(kernel, name)]
    left, right = form.dense
    return (
        touched_by(*(block.left for block in blocks)) if left is None else left,
        touched_by(*(block.right for block in blocks)) if right is None else right,
    )


def matrices(block: Block, columns: tuple[Columns, Columns], form: TileForm, kernel: Kernel) -> Pair:
    """Return the factors of some samples of a block as matrices on the device.

    Args:
        block: the samples, as stored.
        columns: as `columns_of` returns them for the kernel.
        form: of the block.
        kernel: gives the output mode, precision and backend.
    """
    engine, dtype = kernel.backend, kernel.dtype
    pair = block.renumbered(*columns).pair(kernel.outputs, dtype, balanced=form.balanced)
    left_dense, right_dense = (columns is not None for columns in form.dense)
    return Pair(
        None if pair.left is None else engine.put_for_tiles(pair.left, dtype, dense=left_dense),
        engine.put_for_tiles(pair.right, dtype, dense=right_dense),
        pair.repeat,
    )


def _terms(kernel: Kernel, name: str) -> list[Term]:
    """Return a block's term at the samples of the rows and, if there are `columns`, its term at those."""
    return [Term(side[name], kernel.outputs, kernel.backend) for side in kernel.sides]


def _form(kernel: Kernel, terms: Sequence[Term]) -> TileForm:
    """Choose the form of a block from all its samples."""
    balanced = any(
        piece.out_of_balance(kernel.outputs, kernel.dtype) for term in terms for _, piece in term.pieces()
    )
    as_stored = TileForm(balanced, (None, None))
    columns = columns_of(kernel, terms[0].block.name, as_stored)
    if all(touched is None for touched in columns):
        return as_stored
    entries: list[Any] = [0, 0]  # of each column, of left and right
    for _, piece in itertools.chain.from_iterable(term.pieces() for term in terms):
        pair = piece.renumbered(*columns).pair(kernel.outputs, kernel.dtype, balanced=balanced)
        for side, matrix in enumerate((pair.left, pair.right)):
            if columns[side] is not None:
                entries[side] = entries[side] + np.bincount(matrix.indices, minlength=matrix.shape[1])
    samples = sum(term.block.samples for term in terms)

    def dense(side: int, rows: int) -> Columns:
        sparse = columns[side] is not None
        return columns[side] if sparse and kernel.backend.dense_pays(entries[side], rows) else None

    return TileForm(balanced, (dense(0, samples), dense(1, samples * kernel.repeat)))


def touched_by(*factors: Factor) -> NDArray[np.int64] | None:
    """Return the columns that at least one of several factors touches, ascending; None means all of them."""
    touched = np.empty(0, np.int64)
    for factor in factors:
        columns = factor.touched_columns
        if columns is None:
            return None
        touched = distinct(touched, columns)
    return touched
