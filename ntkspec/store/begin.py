"""Begin a run file: its attributes and its samples."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np

from ntkspec._version import PRODUCER
from ntkspec.store import digest, schema
from ntkspec.store.checks import AnyArray
from ntkspec.store.disk import open_hdf5, reserve
from ntkspec.store.snapshot_writer import create_dataset


def begin(part: Path, samples: Mapping[str, AnyArray], label: str, config: str) -> h5py.File:
    """Create a run file without snapshots, and leave it open; after an error there is none.

    Args:
        part: the file, which does not exist.
        samples: name -> array.
        label: short display name.
        config: a mapping as JSON.

    Raises:
        OSError: the file cannot be written.
    """
    reserve(part, sum(array.nbytes for array in samples.values()))
    try:
        file = open_hdf5(part, "x")
        file.attrs.update(
            {
                "format": schema.FORMAT,
                "version": schema.VERSION,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "producer": PRODUCER,
                "label": label,
                "config": config,
                "complete": False,
            }
        )
        for name, array in samples.items():
            data = create_dataset(file.require_group(schema.SAMPLES), name, array.shape, array.dtype)
            data[...] = array
            data.attrs[digest.CRC] = np.uint32(digest.crc32(array))
        file.create_group(schema.SNAPSHOTS)
        file.flush()
    except BaseException:  # also at Ctrl-C, since nobody will call `abandon`
        part.unlink(missing_ok=True)
        raise
    return file
