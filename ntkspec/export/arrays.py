"""Arrays that a caller gives to an exporter, and tensors of any device and type."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from torch import Tensor
from torch.masked import MaskedTensor

from ntkspec.arguments import real_arrays
from ntkspec.store.pictures import require_picture

ArrayLike = Tensor | npt.ArrayLike  # what NumPy takes, and tensors


def as_rows(values: ArrayLike, name: str) -> real_arrays.Floats:
    """Copy finite numbers to (n, width) in float32 or float64; (n,) becomes (n, 1).

    Raises:
        UsageError: they are no such numbers, or entries are masked.
    """
    return np.array(real_arrays.as_rows(_in_numpy(values, name), name), order="C")


def as_positions(values: ArrayLike, name: str, n: int) -> NDArray[np.int64]:
    """Copy n integers, one a sample, to int64; raise `UsageError` if they are none."""
    return np.array(real_arrays.as_positions(_in_numpy(values, name), name, n))


def as_picture(pixels: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Copy a picture to uint8 (H, W) or (H, W, 3); raise `UsageError` if it is none."""
    where = f"picture {name!r}"
    array = real_arrays.as_array(_in_numpy(pixels, where), where)
    require_picture(array, name)
    return np.array(array, order="C")


def _in_numpy(values: Any, name: str) -> Any:
    """Convert tensors, also those in lists, to arrays; whatever else there is stays as it is."""
    with real_arrays.converting(values, name):
        if isinstance(values, Tensor):
            return _of_tensor(values)
        if isinstance(values, list | tuple) and any(isinstance(value, Tensor) for value in values):
            return [_in_numpy(value, name) for value in values]
    return values


def _of_tensor(tensor: Tensor) -> NDArray[Any]:
    if isinstance(tensor, MaskedTensor):  # a masked array is refused, and the mask is counted
        values, known = (_of_tensor(part) for part in (tensor.get_data(), tensor.get_mask()))  # type: ignore[no-untyped-call]  # untyped in torch
        return np.ma.masked_array(values, mask=~known)
    tensor = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg()
    narrow = tensor.is_floating_point() and tensor.element_size() < 4  # NumPy has no bfloat16
    array: NDArray[Any] = (tensor.float() if narrow else tensor).numpy()
    return array
