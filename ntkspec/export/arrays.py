"""What callers give for numbers, as NumPy arrays of our own: contiguous, of native byte order, unmasked."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor

from ntkspec.errors import ExportError, UsageError
from ntkspec.export.evaluation import first_line

ArrayLike = Tensor | npt.ArrayLike  # what NumPy takes, and tensors

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_LARGEST_INDEX = np.iinfo(np.int64).max


def as_array(values: ArrayLike, name: str) -> NDArray[Any]:
    """A copy of `values`, finite, (n, width) in float32 or float64; (n,) becomes (n, 1).

    Raises:
        ExportError: it cannot be had, or entries are masked.
    """
    given = _numpy(values, name)
    array = _floats(given)
    array = array[:, None] if array.ndim == 1 else array
    if array.dtype.kind != "f" or array.ndim != 2 or not array.size or not np.isfinite(array).all():
        finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
        got = f"{given.dtype} of shape {given.shape}" + ("" if finite else " with NaN or Inf")
        raise ExportError(
            name, expected="finite numbers, one row a sample", got=got, remedy="convert or clean them"
        )
    return array


def as_indices(values: ArrayLike) -> NDArray[np.int64]:
    """A copy of `values` as int64 (n,).

    Raises:
        ExportError: they are no integers, too large, or masked.
    """
    array = _numpy(values, "indices")
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.max() > _LARGEST_INDEX):
        raise ExportError(
            "indices",
            expected="integers (n,) that int64 can hold",
            got=f"{array.dtype} of shape {array.shape}",
            remedy="convert them",
        )
    return np.array(array, dtype=np.int64, order="C")


def as_picture(pixels: ArrayLike, name: str) -> NDArray[np.uint8]:
    """A copy of `pixels` as uint8 (H, W) or (H, W, 3).

    Raises:
        UsageError: they are not of that type or shape.
        ExportError: they are no array, or masked.
    """
    array = _numpy(pixels, f"picture {name!r}")
    grey_or_rgb = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not grey_or_rgb or not array.size:
        raise UsageError(
            f"picture {name!r}",
            expected="uint8 of shape (H, W) or (H, W, 3)",
            got=f"{array.dtype} {array.shape}",
            remedy="convert it",
        )
    return np.array(array, order="C")


def _numpy(values: Any, name: str) -> NDArray[Any]:
    """Whatever NumPy makes of `values`, of tensors and of lists of both."""
    try:
        return np.asarray(_parts(values, name))
    except ExportError:
        raise
    except Exception as error:  # rows of different lengths, and whatever __array__ raises
        raise ExportError(
            name,
            expected="an array of numbers, or rows of the same length",
            got=f"{type(values).__name__} that does not become one ({first_line(error)})",
            remedy="make them one rectangular array in memory",
        ) from error


def _parts(values: Any, name: str) -> Any:
    """`values` with arrays in the place of tensors; NumPy would drop masks in silence."""
    if isinstance(values, (list, tuple)):
        return [_parts(value, name) for value in values]
    if isinstance(values, Tensor):
        return _of_tensor(values)
    if np.ma.is_masked(values):
        raise ExportError(
            name,
            expected="numbers without a mask",
            got=f"a mask on {np.count_nonzero(values.mask)} of {np.size(values)} entries",
            remedy="leave out these samples, or fill them by .filled(...)",
        )
    return values


def _of_tensor(tensor: Tensor) -> NDArray[Any]:
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.cpu().to_dense().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()  # NumPy has no bfloat16
    array: NDArray[Any] = tensor.numpy()
    return array


def _floats(array: NDArray[Any]) -> NDArray[Any]:
    """A copy of real numbers of any kind in float32 or float64, of others as they are."""
    if array.dtype == object and not any(isinstance(value, (str, bytes)) for value in array.flat):
        try:
            return np.array(array, dtype=np.float64, order="C")
        except (TypeError, ValueError, OverflowError):
            return array
    if array.dtype.kind not in "iufb":
        return array
    native = array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # what overflows is told of by name
        return np.array(array, dtype=native if native in _FLOATS else np.float64, order="C")
