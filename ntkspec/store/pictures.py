"""Pictures that travel with a run: no part of the contract, so what does not look like one is ignored."""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.store import checks, schema

LARGEST = 2**28  # bytes


def read_pictures(file: h5py.File, where: str) -> dict[str, NDArray[np.uint8]]:
    """Pictures (H, W) or (H, W, 3) by name: "truth" and snapshot ids."""
    if not _has_pictures(file):
        return {}
    pictures = {}
    for name, data in file[schema.PICTURES].items():
        if isinstance(data, h5py.Dataset) and _is_picture(data):
            with checks.reading(f"{where}: /{schema.PICTURES}/{name}"):
                pictures[name] = data[...]
    return pictures


def _has_pictures(file: h5py.File) -> bool:
    link = file.get(schema.PICTURES, getlink=True)
    if not isinstance(link, h5py.HardLink):
        return False
    group = file[schema.PICTURES]
    marked = isinstance(group, h5py.Group) and group.attrs.get("format") == schema.PICTURES_FORMAT
    return marked and all(isinstance(group.get(name, getlink=True), h5py.HardLink) for name in group)


def _is_picture(data: h5py.Dataset) -> bool:
    grey_or_rgb = data.ndim == 2 or (data.ndim == 3 and data.shape[2] == 3)
    inside = not data.is_virtual and not data.external
    return bool(data.dtype == np.uint8 and grey_or_rgb and inside and 0 < data.size <= LARGEST)
