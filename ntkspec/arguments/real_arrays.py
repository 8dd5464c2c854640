"""Arrays of numbers that callers pass: real numbers in float32 or float64, indices in int32 or int64."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkspec._io import first_line
from ntkspec.errors import UsageError

Floats: TypeAlias = NDArray[np.floating[Any]]  # float32 or float64
Integers: TypeAlias = NDArray[np.integer[Any]]  # int32 or int64
FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
INTEGERS = (np.dtype(np.int32), np.dtype(np.int64))


@contextlib.contextmanager
def converting(values: object, name: str) -> Iterator[None]:
    """Turn whatever a conversion to NumPy raises into a `UsageError` that names the argument."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:  # for rows of different lengths, or from __array__
        raise UsageError(
            name,
            expected="what numpy.asarray takes",
            got=f"a {type(values).__name__} that it does not ({first_line(error)})",
            remedy="give an array in memory",
        ) from error


def as_array(values: ArrayLike | None, name: str) -> NDArray[Any]:
    """Convert to an array of any type; raise `UsageError` where NumPy cannot, or where entries are masked."""
    if values is None:
        raise UsageError(name, expected="an array of numbers", got="None", remedy="give one, or leave it out")
    with converting(values, name):
        # numpy.asarray would drop masks, those of rows in a list, too.
        array: NDArray[Any] = np.ma.asarray(values)
    if array.dtype.names is None and np.ma.is_masked(array):  # which cannot be asked of fields
        got = f"masked ones ({np.count_nonzero(np.ma.getmaskarray(array))})"
        raise UsageError(name, expected="numbers without a mask", got=got, remedy="leave out these samples")
    return np.asarray(array)


def as_real(values: ArrayLike | None, name: str) -> Floats:
    """Convert an array of real numbers through `numpy.asarray`, in float32 or float64 of native byte order.

    float16 and bfloat16 become float32, integers and longdouble float64; no other number is changed.

    Args:
        values: what a caller gave.
        name: what it is, for messages.

    Raises:
        UsageError: it is not an array of real numbers, or contains masked entries.

    Example:
        >>> as_real([1, 2], "targets")
        array([1., 2.])
    """
    array = as_array(values, name)
    native = array.dtype.newbyteorder("=")
    narrow = array.dtype.itemsize < 4 and native.name.startswith(("float", "bfloat"))
    if not narrow and array.dtype.kind not in "fiub":
        raise UsageError(
            name,
            expected="an array of real numbers",
            got=f"{array.dtype} of shape {array.shape}",
            remedy="give real and imaginary part as two outputs" if array.dtype.kind == "c" else "convert it",
        )
    wanted = native if native in FLOATS else np.dtype(np.float32 if narrow else np.float64)
    return array.astype(wanted, copy=False)


def as_floats(values: ArrayLike | None, name: str) -> Floats:
    """Convert an array of finite real numbers as `as_real` does.

    Raises:
        UsageError: it is not an array of real numbers, or contains NaN, Inf or masked entries.
    """
    array = as_real(values, name)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        raise UsageError(
            name,
            expected="finite numbers",
            got=f"{array[tuple(place)]} at {place.tolist()}",
            remedy="leave out these samples; where a network diverged, take earlier weights",
        )
    return array


def as_rows(values: ArrayLike, name: str, n: int | None = None, width: int | None = None) -> Floats:
    """Convert to finite numbers (n, width), one row for each sample; a vector (n,) becomes (n, 1).

    Args:
        values: what a caller gave.
        name: what it is, for messages.
        n: how many samples there must be; None: at least one.
        width: how many numbers a sample must have; None: at least one.

    Raises:
        UsageError: it is of another shape, or no array of finite real numbers.
    """
    given = as_floats(values, name)
    array = given[:, None] if given.ndim == 1 else given
    rows, columns = "n" if n is None else n, "width" if width is None else width
    fits = array.ndim == 2 and n in (None, len(array)) and width in (None, array.shape[1])
    if not fits or not array.size:
        raise UsageError(
            name,
            expected=f"an array ({rows}, {columns}), one row a sample",
            got=f"shape {given.shape}",
            remedy="give as many rows as there are samples, and one number in each or more",
        )
    return array


def as_indices(values: ArrayLike | None, name: str) -> Integers:
    """Convert an array of integers to int32 or int64 of native byte order.

    Args:
        values: what a caller gave.
        name: what it is, for messages.

    Raises:
        UsageError: it is not an array of integers, or has numbers too large for int64.
    """
    array = as_array(values, name)
    if array.dtype.kind not in "iu" or (array.size and int(array.max()) > np.iinfo(np.int64).max):
        got = f"{array.dtype} of shape {array.shape}"
        raise UsageError(name, expected="an array of integers", got=got, remedy="convert it to int64")
    return array.astype(np.int32 if array.dtype == np.int32 else np.int64, copy=False)


def as_positions(values: ArrayLike | None, name: str, n: int) -> NDArray[np.int64]:
    """Convert an array of n integers, one a sample, to int64; raise `UsageError` if it is none."""
    array = as_indices(values, name)
    if array.shape != (n,):
        raise UsageError(
            name,
            expected=f"an array ({n},)",
            got=f"shape {array.shape}",
            remedy="give one integer a sample",
        )
    return array.astype(np.int64, copy=False)


def is_dataset_of(values: object, dtypes: tuple[np.dtype[Any], ...]) -> bool:
    """Return whether this is a dataset of a file, with one of these types in either byte order.

    An array in memory is none, whatever its library: all of them offer `__dlpack__`.
    """
    dtype = getattr(values, "dtype", None)
    if not isinstance(dtype, np.dtype) or hasattr(values, "__dlpack__"):
        return False
    return dtype.newbyteorder("=") in dtypes
