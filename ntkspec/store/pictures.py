"""Pictures that travel with a run: no part of the contract, so what does not look like one is ignored."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.memory import require
from ntkspec.store import checks, digest, schema

LARGEST = 2**28  # bytes


def read_pictures(file: h5py.File, where: str, budget: int) -> dict[str, NDArray[np.uint8]]:
    """Pictures (H, W) or (H, W, 3) by name: "truth" and snapshot ids."""
    where = f"{where}: /{schema.PICTURES}"
    with checks.reading(where):
        found = _pictures(file)
        require(where, sum(data.size for data in found.values()), budget, "raise --memory")
        return {name: _read(data, f"{where}/{name}") for name, data in found.items()}


def _pictures(file: h5py.File) -> dict[str, h5py.Dataset]:
    if not isinstance(file.get(schema.PICTURES, getlink=True), h5py.HardLink):
        return {}
    group = file[schema.PICTURES]
    if not isinstance(group, h5py.Group) or not _marked(group):
        return {}
    if not all(isinstance(group.get(name, getlink=True), h5py.HardLink) for name in group):
        return {}
    return {
        name: data for name, data in group.items() if isinstance(data, h5py.Dataset) and _is_picture(data)
    }


def _marked(group: h5py.Group) -> bool:
    mark = group.attrs.get("format")
    return isinstance(mark, str) and mark == schema.PICTURES_FORMAT


def _is_picture(data: h5py.Dataset) -> bool:
    grey_or_rgb = data.ndim == 2 or (data.ndim == 3 and data.shape[2] == 3)
    inside = not data.is_virtual and not data.external
    return bool(data.dtype == np.uint8 and grey_or_rgb and inside and 0 < data.size <= LARGEST)


def _read(data: h5py.Dataset, where: str) -> NDArray[np.uint8]:
    checks.chunks_inside(data, where)
    picture: NDArray[np.uint8] = data[...]
    digest.compare_crc(digest.stored_crc(data, where), digest.crc32(picture), where)
    return picture
