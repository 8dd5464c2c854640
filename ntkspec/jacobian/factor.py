"""Factors: one of the two sides of a Jacobian block, with a vector of length `width` per sample and output.

Left factors do not depend on the output; they are stored with c = 1. There are four kinds: `DenseFactor`,
`SparseFactor`, `PairsFactor` and `Ones`. All have the methods of `Factor`, so that code which uses a factor
need not know its kind. A sample touches a column if it has an entry there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ntkspec.arguments.real_arrays import FLOATS, INTEGERS, as_indices, as_real, is_dataset_of
from ntkspec.display import NotAnArray, counted
from ntkspec.errors import UsageError
from ntkspec.jacobian.outputs import Outputs
from ntkspec.machine.memory import format_bytes

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


class Factor(NotAnArray, ABC):
    """Base class of all factors. If the arrays are in a file, each method reads only what it needs.

    Kinds that store arrays are dataclasses; one of the arrays, `values`, has shape (n, c, entries).
    """

    _ARRAYS = "factor.to_dense(), (n, c, width)"
    _AXES: ClassVar[Mapping[str, tuple[str, ...]]]  # of each array; "1" is of length 1, others have a name
    values: Any

    def __post_init__(self) -> None:
        """Convert arrays in memory, of any library, as `ntkspec.write_run` does; datasets of a file are kept.

        Arrays in memory that lack the axis of outputs are those of one output.

        Raises:
            UsageError: an array is not of real numbers, or indices are no integers, or entries are masked;
                or an array lacks an axis, or has one too many, or axes of one name differ in length.
        """
        for name, array in self.arrays.items():
            types, convert = (INTEGERS, as_indices) if name == "indices" else (FLOATS, as_real)
            if not is_dataset_of(array, types):
                array = convert(array, self._called(name))
            object.__setattr__(self, name, _with_outputs(array, self._AXES[name]))
        self._check_axes()

    def _check_axes(self) -> None:
        """Raise `UsageError` unless the arrays have the axes of `_AXES`."""
        lengths = {"1": 1}
        for name, array in self.arrays.items():
            axes, shape = self._AXES[name], tuple(array.shape)
            known = dict(zip(axes, shape, strict=False)) | lengths
            if shape != tuple(known.get(axis) for axis in axes):
                expected = ", ".join(str(lengths.get(axis, axis)) for axis in axes)
                raise UsageError(
                    self._called(name),
                    expected=f"an array ({expected})",
                    got=f"shape {shape}",
                    remedy=f"reshape it; help(ntkspec.{type(self).__name__}) says what the axes are",
                )
            lengths = known

    def _called(self, name: str) -> str:
        return f"{name} of a {type(self).__name__}"

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({counted(sample=self.samples, output=self.outputs)}, width {self.width}, "
            f"{self.dtype}, {format_bytes(self.nbytes)})"
        )

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, Any]:
        """Return its arrays by name, each with the samples as first axis; `Ones` has none."""

    @property
    def facts(self) -> Mapping[str, int]:
        """Return the integers that are stored in addition to the arrays, by name."""
        return {}

    @property
    @abstractmethod
    def width(self) -> int:
        """Return the length of a vector."""

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
        """Return how many numbers are stored per sample and output."""
        return int(self.values.shape[2])

    @property
    def nbytes(self) -> int:
        """Return the bytes that its numbers take in memory when computing; see `PairsFactor.nbytes`."""
        return sum(int(array.nbytes) for array in self.arrays.values())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the precision of the values, float32 or float64."""
        dtype: np.dtype[Any] = self.values.dtype
        return dtype

    # -- the same factor, otherwise

    def each(self, function: Callable[[Any], Any]) -> Self:
        """Return the factor with `function` applied to every array."""
        return self._with(**{name: function(array) for name, array in self.arrays.items()})

    def load(self, start: int = 0, stop: int | None = None) -> Self:
        """Return the samples start:stop, in memory; for arrays in memory the result is a view.

        Reading from a file raises an error at NaN or Inf.
        """
        return self.each(lambda array: array[start:stop])

    def rows(self, samples: NDArray[np.intp]) -> Self:
        """Return these samples, in this order, in memory."""
        return self.each(lambda array: array.take(samples, axis=0))

    def empty(self, samples: int) -> Self:
        """Return a factor of `samples` samples with arbitrary numbers."""
        return self.each(lambda array: np.empty((samples, *array.shape[1:]), array.dtype))

    def sized(self, samples: int) -> Self:
        """Return a factor of `samples` copies of the first sample, as views that take no memory."""
        return self.each(lambda array: np.broadcast_to(array[:1], (samples, *array.shape[1:])))

    def map(self, function: Callable[[NDArray[Any]], NDArray[Any]]) -> Factor:
        """Apply a linear function to the values, before entries of the same index are added up."""
        loaded = self.load()
        return loaded._with(values=function(loaded.values))

    def absolute(self) -> Factor:
        """Return the factor with the absolute value of each entry.

        Entries of a sample with the same index are added up after that, so that they do not cancel.
        """
        return self.map(np.abs)

    def scaled(self, exponents: NDArray[np.int64], kept: NDArray[np.bool_]) -> Factor:
        """Multiply sample i by 2 ** exponents[i] if kept[i], else by 0; exact, in float64.

        Args:
            exponents, kept: (n,).
        """

        def times_power(values: NDArray[Any]) -> NDArray[Any]:
            each = (len(values), *[1] * (values.ndim - 1))  # the shape of one number a sample
            numbers = np.where(kept.reshape(each), values.astype(np.float64), 0.0)
            return np.asarray(np.ldexp(numbers, exponents.reshape(each)))

        return self.map(times_power)

    def compact(self) -> Self:
        """Return the factor, in memory, without columns that no sample touches; inner products stay equal."""
        loaded = self.load()
        return loaded.renumbered(loaded.touched_columns)

    @abstractmethod
    def renumbered(self, touched: NDArray[np.int64] | None) -> Self:
        """Return the factor, in memory, with only the given columns, numbered from 0.

        Args:
            touched: ascending column numbers, which include every touched column; None keeps all columns.
        """

    def _with(self, **arrays: Any) -> Self:
        return replace(self, **arrays)  # type: ignore[type-var]  # each kind is a dataclass, this class is none

    # -- as numbers

    @abstractmethod
    def matrix(self, outputs: Outputs, dtype: DTypeLike = np.float64) -> Matrix:
        """Return the factor as a matrix F in an output mode; its Gram matrix is F F^T.

        It is (n, c*width) for "trace", (n*c, width) for "full", (n, width) for one output. A sparse factor
        gives CSR, with repeated indices added up in float64.
        """

    def left_matrix(self, dtype: DTypeLike = np.float64) -> Matrix | None:
        """Return the matrix (n, width) of a left factor, or None where its Gram matrix is all ones."""
        return self.matrix(0, dtype)

    @abstractmethod
    def to_dense(self) -> NDArray[Any]:
        """Return the factor as an array (n, c, width) of float64, computed by the definition."""

    @abstractmethod
    def vectors(self, outputs: Outputs) -> NDArray[np.float64] | None:
        """Return the numbers of each sample in one row (n, w), or None for a sparse factor.

        In the modes "trace" and "full" a row holds all outputs, otherwise the one output.
        """

    # -- facts about it

    @property
    @abstractmethod
    def largest(self) -> NDArray[np.float64]:
        """Return the largest absolute value of each sample (n,), padding left out; `PairsFactor`: a bound."""

    @property
    @abstractmethod
    def collisions(self) -> int:
        """Return the largest number of entries of one sample that have the same index and are added up."""

    @property
    @abstractmethod
    def touched_columns(self) -> NDArray[np.int64] | None:
        """Return the columns that at least one sample touches, ascending; None stands for all columns."""

    @property
    def touched_width(self) -> int:
        """Return how many columns are touched by at least one sample; 1 where a sparse factor has none."""
        columns = self.touched_columns
        return self.width if columns is None else max(len(columns), 1)

    @property
    @abstractmethod
    def nonzero_entries(self) -> NDArray[np.bool_]:
        """Return a mask (n, c, entries) of the stored numbers that are neither zero nor padding."""

    @abstractmethod
    def nonzero_columns(self, outputs: Outputs) -> int:
        """Count the columns of `matrix(outputs)` with a nonzero number, out of c * width for "trace"."""

    # -- what activation regions ask of a left factor

    @property
    def inputs(self) -> NDArray[np.float64] | None:
        """Return the vectors (n, width) that a layer's weights are multiplied by, or None if not stored."""
        return None

    @property
    def nodes(self) -> NDArray[Any] | None:
        """Return the nodes (n, k) that each sample looks up, -1 for padding; None unless it is sparse."""
        return None

    @abstractmethod
    def compact_rows(self, samples: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the first output's vectors of some samples (m, w), in the columns that these touch."""

    @property
    @abstractmethod
    def rows_of_same_norm(self) -> NDArray[np.float64]:
        """Return rows (n, w) with the same Euclidean norms as the vectors of the first output."""

    # -- rounding

    @abstractmethod
    def roundings(self, times: int, rows: int | None = None) -> int:
        """Return an upper bound on the number of roundings in an inner product of two rows.

        Args:
            times: number of outputs whose products are added up.
            rows: number of rows of the Gram matrix, if the inner product is one of its entries.
        """

    @abstractmethod
    def buffers(self, times: int) -> int:
        """Return how many arrays of its size forming the Gram matrix takes; `times`: see `roundings`."""

    @property
    @abstractmethod
    def roundings_in_any_order(self) -> int:
        """Return a bound on the roundings in an inner product of two rows, for any order of the additions."""


def _with_outputs(array: Any, axes: tuple[str, ...]) -> Any:
    """Return an array in memory with an axis of one output, if it is the only one that it lacks."""
    lacks = isinstance(array, np.ndarray) and axes[1] in ("1", "c") and array.ndim == len(axes) - 1
    return array[:, None] if lacks else array


def largest_of_samples(values: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the largest absolute value of each sample; (n,)."""
    flat = values.reshape(len(values), -1)
    sizes: NDArray[np.float64] = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0))
    return sizes.astype(np.float64)
