"""Factors: one of the two sides of a Jacobian block, with a vector of length `width` per sample and output.

Left factors do not depend on the output; they are stored with c = 1. There are four kinds: `DenseFactor`,
`SparseFactor`, `PairsFactor` and `Ones`. All have the methods of `Factor`, so that code which uses a factor
need not know its kind. A sample touches a column if it has an entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.jacobian.outputs import Outputs

Matrix: TypeAlias = Any  # an NDArray or a csr_array; SciPy has no types
Precision: TypeAlias = Literal["float64", "float32"]  # of a Jacobian's numbers, and of kernels


class Numbers(Protocol):
    """An array (n, ...) in memory or in a file. Slicing its rows returns an array in memory."""

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
    """The interface of factors. If the arrays are in a file, each method reads only what it needs."""

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
        """Return the bytes that its numbers take in memory when computing; see `PairsFactor.nbytes`."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def arrays(self) -> Mapping[str, Any]:
        """Return its arrays by name, each with the samples as first axis; `Ones` has none."""
        ...

    @property
    def facts(self) -> Mapping[str, int]:
        """Return the integers that are stored in addition to the arrays, by name."""
        ...

    # -- the same factor, otherwise

    def load(self, start: int = 0, stop: int | None = None) -> Factor:
        """Return the samples start:stop, in memory; reading from a file raises an error at NaN or Inf."""
        ...

    def rows(self, samples: NDArray[np.intp]) -> Factor:
        """Return these samples, in this order, in memory."""
        ...

    def empty(self, samples: int) -> Factor:
        """Return a factor of `samples` samples with arbitrary numbers."""
        ...

    def sized(self, samples: int) -> Factor:
        """Return a factor of `samples` copies of the first sample, as views that take no memory."""
        ...

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """Apply a linear function to the values, before entries of the same index are added up."""
        ...

    def absolute(self) -> Factor:
        """Return the factor with the absolute value of each entry.

        Entries of a sample with the same index are added up after that, so that they do not cancel.
        """
        ...

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> Factor:
        """Multiply sample i by 2 ** exponents[i] if kept[i], else by 0; exact, in float64.

        Args:
            exponents, kept: (n,).
        """
        ...

    def compact(self) -> Factor:
        """Return the factor, in memory, without columns that no sample touches; inner products stay equal."""
        ...

    def renumbered(self, touched: NDArray[np.int64] | None) -> Factor:
        """Return the factor, in memory, with only the given columns, numbered from 0.

        Args:
            touched: ascending column numbers, which include every touched column; None keeps all columns.
        """
        ...

    # -- as numbers

    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> Matrix:
        """Return the factor as a matrix F in an output mode; its Gram matrix is F F^T.

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
        """Return the numbers of each sample in one row (n, w), or None for a sparse factor.

        In the modes "trace" and "full" a row holds all outputs, otherwise the one output.
        """
        ...

    # -- facts about it

    @property
    def largest(self) -> NDArray[np.float64]:
        """Return the largest absolute value of each sample (n,), padding left out; `PairsFactor`: a bound."""
        ...

    @property
    def collisions(self) -> int:
        """Return the largest number of entries of one sample that have the same index and are added up."""
        ...

    @property
    def touched_columns(self) -> NDArray[np.int64] | None:
        """Return the columns that at least one sample touches, ascending; None stands for all columns."""
        ...

    @property
    def touched_width(self) -> int:
        """Return how many columns are touched by at least one sample."""
        ...

    @property
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """Return a mask (n, c, entries) of the stored numbers that are neither zero nor padding."""
        ...

    def nonzero_columns(self, outputs: Outputs) -> int:
        """Count the columns of `matrix(outputs)` with a nonzero number, out of c * width for "trace"."""
        ...

    # -- what activation regions ask of a left factor

    @property
    def inputs(self) -> NDArray[np.float64] | None:
        """Return the vectors (n, width) that a layer's weights are multiplied by, or None if not stored."""
        ...

    @property
    def nodes(self) -> NDArray[Any] | None:
        """Return the nodes (n, k) that each sample looks up, -1 for padding; None unless it is sparse."""
        ...

    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the first output's vectors of some samples (m, w), in the columns that these touch."""
        ...

    @property
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """Return rows (n, w) with the same Euclidean norms as the vectors of the first output."""
        ...

    # -- rounding

    def roundings(self, times: int, rows: int | None = None) -> int:
        """Return an upper bound on the number of roundings in an inner product of two rows.

        Args:
            times: number of outputs whose products are added up.
            rows: number of rows of the Gram matrix, if the inner product is one of its entries.
        """
        ...

    def buffers(self, times: int) -> int:
        """Return how many arrays of its size forming the Gram matrix takes; `times`: see `roundings`."""
        ...

    @property
    def roundings_in_any_order(self) -> int:
        """Return a bound on the roundings in an inner product of two rows, for any order of the additions."""
        ...


def touched_by(*factors: Factor) -> NDArray[np.int64] | None:
    """Return the columns that at least one of several factors touches, ascending; None means all of them."""
    touched = np.empty(0, np.int64)
    for factor in factors:
        columns = factor.touched_columns
        if columns is None:
            return None
        touched = np.union1d(touched, columns)
    return touched
