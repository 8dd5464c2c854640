"""Factors: one half of a Jacobian block, a vector of length `width` for every sample and output.

Left factors do not depend on the output; they are stored with c = 1. There are four kinds: `DenseFactor`,
`SparseFactor`, `PairsFactor` and `Ones`. Code that uses a factor calls the methods of `Factor`, and does not
ask which kind it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.jacobian.outputs import Outputs

Matrix: TypeAlias = Any  # an NDArray or a csr_array; SciPy has no types
Precision: TypeAlias = Literal["float64", "float32"]  # of a Jacobian's numbers, and of kernels


class Numbers(Protocol):
    """An array (n, ...), in memory or still in a file: a slice of its rows is in memory."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def nbytes(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Any: ...
    def take(self, samples: Any, axis: Any = 0) -> Any:
        """Return these samples, in this order, in memory."""
        ...


class Factor(Protocol):
    """What every factor can be asked. If its arrays lie in a file, each answer reads only what it needs."""

    @property
    def samples(self) -> int: ...  # n
    @property
    def outputs(self) -> int: ...  # c
    @property
    def width(self) -> int: ...
    @property
    def entries(self) -> int: ...  # numbers of a sample and output as stored
    @property
    def nbytes(self) -> int:
        """Return the bytes that its numbers take in memory, with sums of products written out."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def arrays(self) -> Mapping[str, Any]:
        """Return its arrays by name, each with the samples as first axis; `Ones` has none."""
        ...

    @property
    def facts(self) -> Mapping[str, int]:
        """Return the whole numbers that are stored beside the arrays, by name."""
        ...

    # -- the same factor, otherwise

    def load(self, start: int = 0, stop: int | None = None) -> Factor:
        """Return the samples start:stop in memory; numbers that are not finite are refused."""
        ...

    def rows(self, samples: NDArray[np.intp]) -> Factor:
        """Return these samples, in this order, in memory."""
        ...

    def empty(self, samples: int) -> Factor:
        """Return a factor of `samples` samples with arbitrary numbers."""
        ...

    def sized(self, samples: int) -> Factor:
        """Return a factor of `samples` samples that takes no memory: all share the first one's numbers."""
        ...

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """Apply a linear function to the values, before entries of the same index are added up."""
        ...

    def absolute(self) -> Factor:
        """Return the factor of absolute values, taken before entries of the same index are added up."""
        ...

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> Factor:
        """Multiply sample i by 2 ** exponents[i], exactly, in float64, or by 0 where it is not `kept`."""
        ...

    def compact(self) -> Factor:
        """Return a factor with the same inner products, without the columns that no sample touches."""
        ...

    def renumbered(self, touched: NDArray[np.int64] | None) -> Factor:
        """Return the factor in memory with the given columns alone, numbered from 0; None keeps all of them.

        Args:
            touched: ascending, and every column that the factor touches.
        """
        ...

    # -- as numbers

    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> Matrix:
        """Return the matrix whose rows have the inner products that make the factor's Gram matrix.

        It is (n, c*width) for "trace", (n*c, width) for "full", (n, width) for one output. A sparse factor
        gives CSR, with repeated indices added up.
        """
        ...

    def left_matrix(self, dtype: DTypeLike = np.float64) -> Matrix | None:
        """Return the matrix (n, width) of a left factor, or None where its Gram matrix is all ones."""
        ...

    def to_dense(self) -> NDArray[Any]:
        """Return the factor as an array (n, c, width) of float64, computed by the definition."""
        ...

    def vectors(self, outputs: Outputs) -> NDArray[np.float64] | None:
        """Return each sample's numbers as a vector (n, w), or None if samples have columns of their own."""
        ...

    # -- facts about it

    @property
    def largest(self) -> NDArray[np.float64]:
        """Return the largest absolute value of each sample, without padding; (n,)."""
        ...

    @property
    def collisions(self) -> int:
        """Return how many entries of a sample have the same index, at most; these are added up."""
        ...

    @property
    def touched_columns(self) -> NDArray[np.int64] | None:
        """Return the columns that some sample touches, ascending; None means all, and reads nothing."""
        ...

    @property
    def touched_width(self) -> int:
        """Return how many columns some sample touches."""
        ...

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """Return where stored numbers are neither zero nor padding; (n, c, entries)."""
        ...

    def nonzero_columns(self, outputs: Outputs) -> int:
        """Count the columns that some sample makes nonzero; in mode "trace" those of all outputs."""
        ...

    # -- what activation regions ask of a left factor

    @property
    def inputs(self) -> NDArray[np.float64] | None:
        """Return the vectors (n, width) that a layer's weights are multiplied by, or None if not stored."""
        ...

    @property
    def nodes(self) -> NDArray[Any] | None:
        """Return the nodes that each sample looks up (n, k), -1 for none; None unless there are any."""
        ...

    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the vectors of some samples (m, w), without the columns that none of these touches."""
        ...

    @property
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """Return rows (n, w) with the same Euclidean norms as the vectors of the first output."""
        ...

    # -- rounding

    def roundings(self, times: int, rows: int | None = None) -> int:
        """Count the roundings behind an inner product of two rows, at most.

        Args:
            times: outputs that are added up.
            rows: of the Gram matrix that it stands in, if it does.
        """
        ...

    def buffers(self, times: int) -> int:
        """Count the arrays that forming its Gram matrix takes, at most; `times` as for `roundings`."""
        ...

    @property
    def roundings_in_any_order(self) -> int:
        """Return the roundings behind an inner product of two rows, at most, added up in whatever order."""
        ...


class ArrayFactor(ABC):
    """A factor whose numbers are arrays; one of them, `values`, has shape (n, c, entries)."""

    values: Any

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, Any]:
        """See `Factor.arrays`."""

    @property
    def samples(self) -> int:
        """Return n, the number of samples."""
        return int(self.values.shape[0])

    @property
    def outputs(self) -> int:
        """Return c, the number of outputs."""
        return int(self.values.shape[1])

    @property
    def entries(self) -> int:
        """Return how many numbers are stored for a sample and output."""
        return int(self.values.shape[2])

    @property
    def nbytes(self) -> int:
        """Return the bytes of all arrays as stored."""
        return sum(int(array.nbytes) for array in self.arrays.values())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the precision of the values, float32 or float64."""
        dtype: np.dtype[Any] = self.values.dtype
        return dtype

    def each(self, function: Callable[[Any], Any]) -> Self:
        """Return the factor with `function` applied to every array."""
        return self._with(**{name: function(array) for name, array in self.arrays.items()})

    def load(self, start: int = 0, stop: int | None = None) -> Self:
        """See `Factor.load`; for arrays in memory the result is a view."""
        return self.each(lambda array: array[start:stop])

    def rows(self, samples: NDArray[np.intp]) -> Self:
        """See `Factor.rows`."""
        return self.each(lambda array: array.take(samples, axis=0))

    def empty(self, samples: int) -> Self:
        """See `Factor.empty`."""
        return self.each(lambda array: np.empty((samples, *array.shape[1:]), array.dtype))

    def sized(self, samples: int) -> Self:
        """See `Factor.sized`."""
        return self.each(lambda array: np.broadcast_to(array[:1], (samples, *array.shape[1:])))

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Self:
        """See `Factor.map`."""
        loaded = self.load()
        return loaded._with(values=function(loaded.values))

    def absolute(self) -> Self:
        """See `Factor.absolute`."""
        return self.map(np.abs)

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> Self:
        """See `Factor.scaled`."""

        def times_power(values: NDArray[Any]) -> NDArray[Any]:
            numbers = np.where(kept[:, None, None], values.astype(np.float64), 0.0)
            return np.asarray(np.ldexp(numbers, exponents[:, None, None]))

        return self.map(times_power)

    def _with(self, **arrays: Any) -> Self:
        return replace(self, **arrays)  # type: ignore[type-var]  # each kind is a dataclass, this class is none


def touched_by(*factors: Factor) -> NDArray[np.int64] | None:
    """Return the columns that at least one of several factors touches, ascending; None means all of them."""
    touched = np.empty(0, np.int64)
    for factor in factors:
        columns = factor.touched_columns
        if columns is None:
            return None
        touched = np.union1d(touched, columns)
    return touched


def largest_of_samples(values: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the largest absolute value of each sample; (n,)."""
    flat = values.reshape(len(values), -1)
    sizes: NDArray[np.float64] = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0))
    return sizes.astype(np.float64)
