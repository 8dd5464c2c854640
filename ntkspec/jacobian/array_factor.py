"""The base class of the factors that store arrays: all kinds but `Ones`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.real_arrays import FLOATS, INTEGERS, as_indices, as_real, is_dataset_of
from ntkspec.display import NotAnArray, counted
from ntkspec.errors import UsageError
from ntkspec.machine.memory import format_bytes


class ArrayFactor(NotAnArray, ABC):
    """Base class of factors that store arrays; one of these, `values`, has shape (n, c, entries)."""

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
    def width(self) -> int:
        """Return the length of a vector."""

    @property
    @abstractmethod
    def arrays(self) -> Mapping[str, Any]:
        """See `Factor.arrays`."""

    @property
    def facts(self) -> dict[str, int]:
        """Return an empty dict: the shapes of the arrays are enough to read most factors."""
        return {}

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
            each = (len(values), *[1] * (values.ndim - 1))  # the shape of one number a sample
            numbers = np.where(kept.reshape(each), values.astype(np.float64), 0.0)
            return np.asarray(np.ldexp(numbers, exponents.reshape(each)))

        return self.map(times_power)

    def _with(self, **arrays: Any) -> Self:
        return replace(self, **arrays)  # type: ignore[type-var]  # each kind is a dataclass, this class is none


def _with_outputs(array: Any, axes: tuple[str, ...]) -> Any:
    """Return an array in memory with an axis of one output, if it is the only one that it lacks."""
    lacks = isinstance(array, np.ndarray) and axes[1] in ("1", "c") and array.ndim == len(axes) - 1
    return array[:, None] if lacks else array


def largest_of_samples(values: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the largest absolute value of each sample; (n,)."""
    flat = values.reshape(len(values), -1)
    sizes: NDArray[np.float64] = np.maximum(flat.max(axis=1, initial=0), -flat.min(axis=1, initial=0))
    return sizes.astype(np.float64)
