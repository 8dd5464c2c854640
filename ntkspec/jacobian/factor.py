"""Factors: the two halves of a Jacobian block, dense or sparse.

A factor holds one vector of length `width` for every sample and output. Left factors do not depend on
the output; they are stored with c = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ntkspec.jacobian.outputs import Outputs

Matrix = NDArray[Any] | sp.csr_array


class Factor(Protocol):
    """What every factor can do, in memory or still in a run file; only `load` reads numbers."""

    @property
    def sparse(self) -> bool: ...  # whether it loads as a SparseFactor
    @property
    def entries(self) -> int: ...  # numbers of a sample and output as stored: width, or k of a sparse one
    @property
    def samples(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def load(self, start: int = 0, stop: int | None = None) -> LoadedFactor:
        """The samples start:stop in memory; refuses numbers that are not finite."""
        ...


@dataclass(frozen=True)
class DenseFactor:
    """A factor whose vectors are written out."""

    values: NDArray[Any]  # (n, c, width), float32 or float64
    sparse = False

    @property
    def samples(self) -> int:
        return int(self.values.shape[0])

    @property
    def outputs(self) -> int:
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        return int(self.values.shape[2])

    @property
    def entries(self) -> int:
        return int(self.values.shape[2])

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def load(self, start: int = 0, stop: int | None = None) -> DenseFactor:
        """The samples start:stop, as a view."""
        return DenseFactor(self.values[start:stop])

    def matrix(self, outputs: Outputs, dtype: Any = np.float64) -> NDArray[Any]:
        """Rows whose inner products make the factor's Gram matrix.

        Returns:
            (n, c*width) for "trace", (n*c, width) for "full", (n, width) for one output.
        """
        n, c, width = self.values.shape
        if outputs == "trace":
            rows = self.values.reshape(n, c * width)
        elif outputs == "full":
            rows = self.values.reshape(n * c, width)
        else:
            rows = self.values[:, outputs, :]
        return np.ascontiguousarray(rows, dtype=dtype)

    def compact(self) -> DenseFactor:
        """The factor itself: all its columns count."""
        return self

    @property
    def cancellation(self) -> float:
        """1: its entries are written out, not added up."""
        return 1.0

    def to_dense(self) -> NDArray[Any]:
        """The factor as an array (n, c, width) of float64."""
        return np.asarray(self.values, dtype=np.float64)


@dataclass(frozen=True)
class SparseFactor:
    """A factor with k entries a sample; entries of one sample that share an index add up; -1 is padding."""

    indices: NDArray[Any]  # (n, k), int32 or int64, -1 or in [0, columns)
    values: NDArray[Any]  # (n, c, k), float32 or float64
    columns: int
    sparse = True

    @property
    def samples(self) -> int:
        return int(self.values.shape[0])

    @property
    def outputs(self) -> int:
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        return self.columns

    @property
    def entries(self) -> int:
        return int(self.values.shape[2])

    @property
    def nbytes(self) -> int:
        return int(self.values.nbytes + self.indices.nbytes)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    def load(self, start: int = 0, stop: int | None = None) -> SparseFactor:
        """The samples start:stop, as views."""
        return SparseFactor(self.indices[start:stop], self.values[start:stop], self.columns)

    def matrix(self, outputs: Outputs, dtype: Any = np.float64) -> sp.csr_array:
        """The same rows as `DenseFactor.matrix`, in CSR form with repeated indices summed."""
        n, c, k = self.values.shape
        kept = range(c) if isinstance(outputs, str) else (outputs,)
        indices = np.asarray(self.indices, dtype=np.int64)
        padding = np.broadcast_to((indices < 0)[:, None, :], (n, len(kept), k))
        values = np.where(padding, 0, self.values[:, kept, :]).astype(dtype)
        columns = np.where(padding, 0, indices[:, None, :])
        if outputs == "trace":
            columns = columns + self.columns * np.arange(c)[None, :, None]
            shape = (n, c * self.columns)
        else:
            shape = (n * len(kept), self.columns)
        rows, per_row = shape[0], values.size // max(shape[0], 1)
        starts = np.arange(rows + 1, dtype=np.int64) * per_row
        matrix = sp.csr_array((values.ravel(), columns.ravel(), starts), shape=shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix

    def compact(self) -> SparseFactor:
        """The same inner products with the touched columns alone, renumbered.

        CSR products take memory and time for every column; a hashed or a fine 3D grid has millions, of which
        n samples touch few.
        """
        touched, indices = np.unique(self.indices, return_inverse=True)
        padding = int(np.count_nonzero(touched < 0))
        renumbered = indices.reshape(self.indices.shape) - padding
        return SparseFactor(renumbered, self.values, max(len(touched) - padding, 1))

    @property
    def cancellation(self) -> float:
        """By how much entries that share an index exceed their sum: >= 1, the factor on rounding errors."""
        sizes = SparseFactor(self.indices, np.abs(self.values), self.columns).compact().matrix("full")
        sums = self.compact().matrix("full")
        largest = np.sqrt(max(float(sums.multiply(sums).sum(axis=1).max()), np.finfo(np.float64).tiny))
        ratio = float(np.sqrt(sizes.multiply(sizes).sum(axis=1).max())) / float(largest)
        return max(ratio, 1.0)

    def to_dense(self) -> NDArray[Any]:
        """The factor as an array (n, c, columns) of float64, by the definition: one addition an entry."""
        n, c, k = self.values.shape
        dense = np.zeros((n, c, self.columns))
        for i in range(n):
            for e in range(k):
                if self.indices[i, e] >= 0:
                    dense[i, :, self.indices[i, e]] += self.values[i, :, e]
        return dense


LoadedFactor = DenseFactor | SparseFactor
