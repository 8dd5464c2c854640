"""Both ends of a run file: attributes and samples at its beginning, what is known at its end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import ArrayLike

from ntkspec._version import PRODUCER
from ntkspec.arguments.real_arrays import as_positions, as_rows
from ntkspec.store import digest, schema
from ntkspec.store.checks import AnyArray
from ntkspec.store.disk import open_hdf5, reserve
from ntkspec.store.snapshot_writer import create_dataset, has_pairs


def check_samples(
    inputs: ArrayLike, targets: ArrayLike | None, indices: ArrayLike | None
) -> dict[str, AnyArray]:
    """Return the arrays of a run's samples by their names in the file, without those that are None.

    Args:
        inputs: (n, d), converted as `ntkspec.write_run` does.
        targets: (n, c), likewise.
        indices: (n,) integers; they are returned as int64.

    Raises:
        UsageError: shapes are others, or numbers are not real and finite, or indices no integers.
    """
    x = as_rows(inputs, schema.INPUTS)
    samples: dict[str, AnyArray] = {schema.INPUTS: x}
    if targets is not None:
        samples[schema.TARGETS] = as_rows(targets, schema.TARGETS, len(x))
    if indices is not None:
        samples[schema.INDICES] = as_positions(indices, schema.INDICES, len(x))
    return samples


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
    reserve(part, sum(array.nbytes for array in samples.values()) + len(config), len(samples))
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


def seal(file: h5py.File, where: str, complete: Collection[str], *, interrupted: bool) -> None:
    """Write the attributes that are known at the end, and remove what is left of other snapshots.

    Args:
        file: the run file.
        where: the file, for messages.
        complete: the ids of the snapshots that are complete.
        interrupted: whether what it records was interrupted.
    """
    for name in [name for name in file[schema.SNAPSHOTS] if name not in complete]:
        del file[schema.SNAPSHOTS][name]
    snapshots = dict(file[schema.SNAPSHOTS])
    paired = any(map(has_pairs, snapshots.values()))  # pairs may be gone with a snapshot that was removed
    file.attrs["version"] = schema.VERSION_OF_PAIRS if paired else schema.VERSION
    digests = {name: digest.snapshot_digest(group, where) for name, group in snapshots.items()}
    file.attrs[digest.DIGEST] = digest.root_digest(file, where, digests)
    file.flush()
    file.attrs["complete"] = not interrupted
