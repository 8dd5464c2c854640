"""Sparse factors with k entries per sample, such as the grid nodes that an interpolation reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.arguments.counts import whole_number
from ntkspec.errors import UsageError
from ntkspec.jacobian.dense import count_of_mode
from ntkspec.jacobian.factor import Factor, Numbers, largest_of_samples
from ntkspec.jacobian.outputs import Outputs
from ntkspec.machine.memory import samples_at_once

if TYPE_CHECKING:  # it takes longer to load than everything that reading and checking a run file needs
    import scipy.sparse as sp


INDEX_BYTES = 2**22  # of indices, read at once


@dataclass(frozen=True, repr=False, eq=False)
class SparseFactor(Factor):
    """A factor with k entries per sample, each an index and a value; index -1 marks padding.

    Entries of a sample with the same index are added up. Values (n, k) are those of a single output.

    Raises:
        UsageError: indices are no integers, values no real numbers, both have not these axes, or `columns` is
            not a whole number from 1. Indices beyond `columns` are refused when they are first used.

    Example:
        >>> import numpy as np
        >>> SparseFactor(np.array([[0, 2, -1]]), np.array([[[1.0, 5.0, 9.0]]]), 3).to_dense()
        array([[[1., 0., 5.]]])
    """

    _AXES: ClassVar = {"indices": ("n", "k"), "values": ("n", "c", "k")}
    indices: Numbers  # (n, k), int32 or int64, -1 or in [0, columns), or a dataset of that shape
    values: Numbers  # (n, c, k), float32 or float64, or a dataset of that shape
    columns: int

    def __post_init__(self) -> None:
        super().__post_init__()
        columns = whole_number(self.columns, self._called("columns"), 1)
        object.__setattr__(self, "columns", columns)

    @property
    def arrays(self) -> dict[str, Any]:
        """Return the indices and the values."""
        return {"indices": self.indices, "values": self.values}

    @property
    def facts(self) -> dict[str, int]:
        """Return the number of columns."""
        return {"columns": self.columns}

    @property
    def width(self) -> int:
        """Return the number of columns, touched or not."""
        return self.columns

    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> sp.csr_array:
        """See `Factor.matrix`; entries with the same index are added up in float64."""
        import scipy.sparse as sp

        stored = self.values[:]
        n, c, k = stored.shape
        chosen = range(c) if isinstance(outputs, str) else (outputs,)
        indices = self.nodes.astype(np.int64, copy=False)
        padding = np.broadcast_to((indices < 0)[:, None, :], (n, len(chosen), k))
        values = np.where(padding, 0, stored[:, chosen, :]).astype(np.float64)
        columns = np.where(padding, 0, indices[:, None, :])
        if outputs == "trace":
            columns = columns + self.columns * np.arange(c)[None, :, None]
            shape = (n, c * self.columns)
        else:
            shape = (n * len(chosen), self.columns)
        rows, per_row = shape[0], values.size // max(shape[0], 1)
        starts = np.arange(rows + 1, dtype=np.int64) * per_row
        matrix = sp.csr_array((values.ravel(), columns.ravel(), starts), shape=shape)
        matrix.sum_duplicates()
        matrix = matrix.astype(dtype, copy=False)
        matrix.eliminate_zeros()
        return matrix

    @property
    def touched_columns(self) -> NDArray[np.int64]:
        """See `Factor.touched_columns`; indices are read for a range of samples at a time."""
        touched = np.empty(0, np.int64)
        step = samples_at_once(INDEX_BYTES, self.samples, int(self.indices.nbytes))
        for start in range(0, self.samples, step):
            touched = distinct(touched, self.indices[start : start + step])
        return touched[touched >= 0]

    def renumbered(self, touched: NDArray[np.int64] | None) -> SparseFactor:
        """See `Factor.renumbered`.

        CSR products take memory and time for every column. A hashed or a fine 3D grid has millions of
        columns, and n samples touch few of them.
        """
        if touched is None:
            return self.load()
        found, which = np.unique(self.nodes, return_inverse=True)  # a search for each index takes longer
        places = np.where(found < 0, -1, np.searchsorted(touched, found))[which].reshape(self.indices.shape)
        return SparseFactor(places, self.values[:], max(len(touched), 1))

    def to_dense(self) -> NDArray[Any]:
        """Return the factor as an array (n, c, columns) of float64; entries are added one by one."""
        indices, values = self.indices[:], self.values[:]
        n, c, k = values.shape
        dense = np.zeros((n, c, self.columns))
        for i in range(n):
            for e in range(k):
                if indices[i, e] >= 0:
                    dense[i, :, indices[i, e]] += values[i, :, e]
        return dense

    def vectors(self, outputs: Outputs) -> None:
        """Return None: the k entries of different samples belong to different columns."""
        return

    @property
    def largest(self) -> NDArray[np.float64]:
        """See `Factor.largest`."""
        return largest_of_samples(np.where((self.indices[:] < 0)[:, None, :], 0, self.values[:]))

    @property
    def collisions(self) -> int:
        """See `Factor.collisions`."""
        ordered = np.sort(self.indices[:], axis=1)
        longest, run = 1, np.ones(len(ordered), dtype=np.int64)  # of equal indices in a sample
        for entry in range(1, ordered.shape[1]):
            same = (ordered[:, entry] == ordered[:, entry - 1]) & (ordered[:, entry] >= 0)
            run = np.where(same, run + 1, 1)
            longest = max(longest, int(run.max(initial=1)))
        return longest

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """See `Factor.nonzero_entries`."""
        return np.asarray((self.values[:] != 0) & (self.indices[:] >= 0)[:, None, :])

    def nonzero_columns(self, outputs: Outputs) -> int:
        """See `Factor.nonzero_columns`."""
        compact = self.compact()
        nonzero = np.zeros((self.outputs, compact.columns), dtype=bool)
        samples, output, entries = np.nonzero(compact.nonzero_entries)
        nonzero[output, compact.nodes[samples, entries]] = True
        return count_of_mode(nonzero, outputs)

    @property
    def nodes(self) -> NDArray[Any]:
        """Return the indices (n, k); raise `UsageError` if there are others than columns and padding."""
        indices = np.asarray(self.indices[:])
        if indices.size and not -1 <= indices.min() <= indices.max() < self.columns:
            raise UsageError(
                "sparse factor",
                expected=f"indices from 0 to {self.columns - 1}, or -1 for padding",
                got=f"{indices.min()} to {indices.max()}",
                remedy="number columns from 0, and give how many there are",
            )
        return indices

    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """See `Factor.compact_rows`; (m, w), w being the number of nodes that these samples touch."""
        indices, values = self.indices[:][samples], self.values[:][samples, 0].astype(np.float64)
        nodes, column = np.unique(indices, return_inverse=True)
        dense = np.zeros((len(samples), len(nodes)))
        np.add.at(dense, (np.arange(len(samples))[:, None], column.reshape(indices.shape)), values)
        return dense[:, nodes >= 0]

    @property
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """See `Factor.rows_of_same_norm`: the nonzero numbers of each row, then zeros up to equal length."""
        rows = self.compact().matrix(0)
        lengths = np.diff(rows.indptr)
        numbers = np.zeros((len(lengths), int(lengths.max(initial=0))))
        numbers[np.arange(numbers.shape[1]) < lengths[:, None]] = rows.data
        return numbers

    def roundings(self, times: int, rows: int | None = None) -> int:
        """See `Factor.roundings`: products are added one after the other."""
        return times * self.entries

    def buffers(self, times: int) -> int:
        """Return 1: the Gram matrix itself."""
        return 1

    @property
    def roundings_in_any_order(self) -> int:
        """Return 3 k: k for the products, and k on each side for adding up entries of the same index."""
        return 3 * self.entries


def distinct(*indices: NDArray[Any]) -> NDArray[np.int64]:
    """Return the different numbers in some arrays, ascending; `np.unique` takes a hundred times as long.

    Example:
        >>> distinct(np.array([5, -1, 5]), np.array([[0, 5]])).tolist()
        [-1, 0, 5]
    """
    numbers = np.concatenate([np.ravel(array).astype(np.int64, copy=False) for array in indices])
    numbers.sort()
    first: NDArray[np.bool_] = np.diff(numbers, prepend=numbers[:1] - 1) != 0
    return numbers[first]
