"""Numbers from callers as NumPy arrays of our own: contiguous, of native byte order, without masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.masked import MaskedTensor

from ntkspec._io import first_line
from ntkspec.errors import ExportError
from ntkspec.store.pictures import require_picture

ArrayLike = Tensor | npt.ArrayLike  # what NumPy takes, and tensors

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_PROTOCOLS = ("__array__", "__array_interface__", "__array_struct__")
_EXPECTED = "an array of numbers, or rows of the same length"
_LARGEST_INDEX = np.iinfo(np.int64).max


def as_array(values: ArrayLike, name: str) -> NDArray[np.floating]:
    """Copy finite numbers to (n, width) in float32 or float64; (n,) becomes (n, 1).

    Raises:
        ExportError: it cannot be had, or entries are masked.
    """
    numbers = _numpy(values, name)
    array = _floats(numbers)
    array = array[:, None] if array.ndim == 1 else array
    if array.dtype.kind != "f" or array.ndim != 2 or not array.size or not np.isfinite(array).all():
        finite = array.dtype.kind != "f" or bool(np.isfinite(array).all())
        got = f"{numbers.dtype} of shape {numbers.shape}" + ("" if finite else " with NaN or Inf")
        raise ExportError(
            name, expected="finite numbers, one row a sample", got=got, remedy="convert or clean them"
        )
    return array


def as_indices(values: ArrayLike) -> NDArray[np.int64]:
    """Copy integers (n,) to int64.

    Raises:
        ExportError: they are no integers, too large, or masked.
    """
    array = _numpy(values, "indices")
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.size and array.max() > _LARGEST_INDEX):
        raise ExportError(
            "indices",
            expected="integers (n,) that int64 can hold",
            got=f"{array.dtype} of shape {array.shape}",
        )
    return np.array(array, dtype=np.int64, order="C")


def as_picture(pixels: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Copy a picture to uint8 (H, W) or (H, W, 3).

    Raises:
        UsageError: they are not of that type or shape.
        ExportError: they are no array, or masked.
    """
    array = _numpy(pixels, f"picture {name!r}")
    require_picture(array, name)
    return np.array(array, order="C")


def _numpy(values: object, name: str) -> NDArray[Any]:
    """Convert numbers, tensors, and sequences of both to an array of NumPy's."""
    if values is None:  # NumPy would make NaN of it
        raise _no_numbers(values, name)
    try:
        return np.asarray(_parts(values, name))
    except ExportError:
        raise
    except Exception as error:  # rows of different lengths, and whatever __array__ raises
        raise ExportError(
            name,
            expected=_EXPECTED,
            got=f"{type(values).__name__} that does not become one ({first_line(error)})",
            remedy="make them one rectangular array in memory",
        ) from error


def _parts(values: Any, name: str) -> Any:
    """Replace tensors, and objects that NumPy can convert, by arrays, at any depth of `values`.

    NumPy itself would drop masks silently, and would read the keys of some mappings as numbers.
    """
    if values is None or isinstance(values, (Number, str, bytes)):
        return values
    if isinstance(values, Tensor):
        return _parts(list(values.unbind()), name) if values.is_nested else _of_tensor(values, name)
    if not any(hasattr(values, protocol) for protocol in _PROTOCOLS):
        if isinstance(values, Mapping) or hasattr(values, "toarray"):
            raise _no_numbers(values, name)
        if _is_sequence(values):
            return [_parts(value, name) for value in values]
    array = np.asanyarray(values)
    if np.ma.is_masked(array):
        raise _masked(int(np.count_nonzero(np.ma.getmaskarray(array))), array.size, name)
    if array.dtype != object:
        return array
    objects = array.tolist()
    if objects is not values:
        return np.array(_parts(objects, name), dtype=object)
    if not hasattr(values, "__float__"):
        raise _no_numbers(values, name)
    return values


def _is_sequence(values: Any) -> bool:
    """Return whether NumPy reads `values` item by item; a buffer is read as a whole."""
    try:
        memoryview(values)
    except TypeError:
        return hasattr(type(values), "__len__") and hasattr(type(values), "__getitem__")
    return False


def _no_numbers(values: object, name: str) -> ExportError:
    if hasattr(values, "toarray"):
        remedy = "give what its toarray() returns"  # SciPy's sparse matrices have one
    elif isinstance(values, Mapping):
        remedy = "give one array of its values, one row a sample"
    elif isinstance(values, Iterable):
        remedy = "give a list of what it yields, one row a sample"
    else:
        remedy = "give an array, a tensor or a list of rows"
    got = "None" if values is None else f"an object of type {type(values).__name__}"
    return ExportError(name, expected=_EXPECTED, got=got, remedy=remedy)


def _masked(masked: int, entries: int, name: str) -> ExportError:
    return ExportError(
        name,
        expected="numbers without a mask",
        got=f"a mask on {masked} of {entries} entries",
        remedy="leave out these samples, or fill them with numbers",
    )


def _of_tensor(tensor: Tensor, name: str) -> NDArray[Any]:
    if isinstance(tensor, MaskedTensor):
        masked = int((~tensor.get_mask()).sum())  # type: ignore[no-untyped-call]  # untyped in torch
        if masked:
            raise _masked(masked, tensor.numel(), name)
        tensor = tensor.get_data()  # type: ignore[no-untyped-call]  # untyped in torch
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.cpu().to_dense().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64):
        tensor = tensor.float()  # NumPy has no bfloat16
    array: NDArray[Any] = tensor.numpy()
    return array


def _floats(array: NDArray[Any]) -> NDArray[Any]:
    """Copy real numbers of any kind to float32 or float64; return other arrays as they are."""
    if array.dtype == object and not any(isinstance(value, (str, bytes)) for value in array.flat):
        try:
            return np.array(array, dtype=np.float64, order="C")
        except (TypeError, ValueError, OverflowError):
            return array
    if array.dtype.kind not in "iufb":
        return array
    native = array.dtype.newbyteorder("=")
    with np.errstate(over="ignore"):  # an overflow is refused later, by name
        return np.array(array, dtype=native if native in _FLOATS else np.float64, order="C")
