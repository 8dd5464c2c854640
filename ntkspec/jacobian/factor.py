"""Factors: the two halves of a Jacobian block, dense or sparse.

A factor holds one vector of length `width` for every sample and output. Left factors do not depend on
the output; they are stored with c = 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian.outputs import Outputs

if TYPE_CHECKING:  # it takes longer to load than everything that reading and checking a run file needs
    import scipy.sparse as sp

Matrix: TypeAlias = Any  # an NDArray or a csr_array; SciPy has no types


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

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> DenseFactor:
        """Return the factor with `function` applied to its values."""
        return DenseFactor(function(self.values))

    @property
    def largest(self) -> NDArray[np.float64]:
        """The largest absolute value of each sample; (n,)."""
        return _largest(self.values)

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> DenseFactor:
        """Return the factor with sample i times 2 ** exponents[i], exactly, in float64; 0 where not kept."""
        return DenseFactor(_times_power(self.values, exponents, kept))

    @property
    def collisions(self) -> int:
        """How many entries are added up to one number, at most: 1, since they are written out."""
        return 1

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
        """The same rows as `DenseFactor.matrix`, in CSR form with repeated indices summed, in double."""
        import scipy.sparse as sp

        n, c, k = self.values.shape
        kept = range(c) if isinstance(outputs, str) else (outputs,)
        indices = np.asarray(self.indices, dtype=np.int64)
        padding = np.broadcast_to((indices < 0)[:, None, :], (n, len(kept), k))
        values = np.where(padding, 0, self.values[:, kept, :]).astype(np.float64)
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
        matrix = matrix.astype(dtype, copy=False)
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

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> SparseFactor:
        """Return the factor with `function` applied to its entries, before those that collide add up."""
        return SparseFactor(self.indices, function(self.values), self.columns)

    @property
    def largest(self) -> NDArray[np.float64]:
        """The largest absolute value of each sample, padding left out; (n,)."""
        return _largest(np.where((self.indices < 0)[:, None, :], 0, self.values))

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> SparseFactor:
        """Return the factor with sample i times 2 ** exponents[i], exactly, in float64; 0 where not kept."""
        return self.map(lambda values: _times_power(values, exponents, kept))

    @property
    def collisions(self) -> int:
        """How many entries are added up to one number, at most."""
        ordered = np.sort(self.indices, axis=1)
        most, run = 1, np.ones(len(ordered), dtype=np.int64)
        for entry in range(1, ordered.shape[1]):
            same = (ordered[:, entry] == ordered[:, entry - 1]) & (ordered[:, entry] >= 0)
            run = np.where(same, run + 1, 1)
            most = max(most, int(run.max(initial=1)))
        return most

    def to_dense(self) -> NDArray[Any]:
        """The factor as an array (n, c, columns) of float64, by the definition: one addition an entry."""
        n, c, k = self.values.shape
        dense = np.zeros((n, c, self.columns))
        for i in range(n):
            for e in range(k):
                if self.indices[i, e] >= 0:
                    dense[i, :, self.indices[i, e]] += self.values[i, :, e]
        return dense


def _largest(values: NDArray[Any]) -> NDArray[np.float64]:
    flat = values.reshape(len(values), -1)
    sizes: NDArray[np.float64] = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0))
    return sizes.astype(np.float64)


def _times_power(
    values: NDArray[Any], exponents: NDArray[np.int64], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    numbers = np.where(kept[:, None, None], values.astype(np.float64), 0.0)
    scaled: NDArray[np.float64] = np.ldexp(numbers, exponents[:, None, None])
    return scaled


LoadedFactor = DenseFactor | SparseFactor


def loaded_factor(factor: Factor | None) -> LoadedFactor | None:
    """Read a factor into memory, if there is one."""
    return None if factor is None else factor.load()
