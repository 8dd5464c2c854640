"""The pictures in a run file. The run format does not require them; other data there is ignored."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import UsageError
from ntkspec.machine.memory import require
from ntkspec.store import checks, digest, schema

Picture = NDArray[np.uint8]  # (H, W) or (H, W, 3)

LARGEST = 2**28  # bytes of a picture


def require_picture(pixels: checks.AnyArray, name: str) -> None:
    """Require that an array is a picture: uint8 of shape (H, W) or (H, W, 3).

    Raises:
        UsageError: it is of another type or shape, empty, or too large.
    """
    if not _is_picture(pixels):
        raise UsageError(
            f"picture {name!r}",
            expected=f"uint8 of shape (H, W) or (H, W, 3), of at most {LARGEST} bytes",
            got=f"{pixels.dtype} {pixels.shape}",
        )


def write_picture(file: h5py.File, name: str, pixels: NDArray[np.uint8]) -> None:
    """Store a picture in a run file; one of the same name is replaced.

    Args:
        file: the run file.
        name: that a member of an HDF5 group can have.
        pixels: uint8 (H, W) or (H, W, 3).
    """
    group = file.require_group(schema.PICTURES)
    group.attrs["format"] = schema.PICTURES_FORMAT
    if name in group:
        del group[name]
    data = group.create_dataset(name, data=pixels)
    data.attrs[digest.CRC] = np.uint32(digest.crc32(pixels))


def read_pictures(file: h5py.File, where: str, budget: int) -> dict[str, NDArray[np.uint8]]:
    """Read the pictures, uint8 (H, W) or (H, W, 3), by name: "truth" and ids of snapshots.

    Args:
        file: the run file.
        where: the run file, for messages.
        budget: bytes that they may take.

    Raises:
        MemoryBudgetError: they take more.
        RunFileError: they are damaged.
    """
    where = f"{where}: /{schema.PICTURES}"
    with checks.reading(where):
        pictures = _pictures(file)
        require(where, sum(data.size for data in pictures.values()), budget, "raise ⟦--memory⟧")
        return {name: _read(data, f"{where}/{name}") for name, data in pictures.items()}


def _pictures(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Return the datasets that are pictures; none unless this package marked their group."""
    if not isinstance(file.get(schema.PICTURES, getlink=True), h5py.HardLink):
        return {}
    group = file[schema.PICTURES]
    if not isinstance(group, h5py.Group) or not _marked(group):
        return {}
    if not all(isinstance(group.get(name, getlink=True), h5py.HardLink) for name in group):
        return {}
    return {name: data for name, data in group.items() if isinstance(data, h5py.Dataset) and _is_inside(data)}


def _marked(group: h5py.Group) -> bool:
    mark = group.attrs.get("format")
    return isinstance(mark, str) and mark == schema.PICTURES_FORMAT


def _is_inside(data: h5py.Dataset) -> bool:
    return _is_picture(data) and not data.is_virtual and not data.external


def _is_picture(data: h5py.Dataset | checks.AnyArray) -> bool:
    of_shape = len(data.shape) == 2 or (len(data.shape) == 3 and data.shape[2] == 3)
    return bool(data.dtype == np.uint8 and of_shape and 0 < data.size <= LARGEST)


def _read(data: h5py.Dataset, where: str) -> NDArray[np.uint8]:
    checks.chunks_inside(data, where)
    picture: NDArray[np.uint8] = data[...]
    digest.compare_crc(digest.stored_crc(data, where), digest.crc32(picture), where)
    return picture
