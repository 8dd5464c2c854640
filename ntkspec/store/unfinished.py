"""Read run files that a killed writer left unfinished, to be continued."""

from __future__ import annotations

from pathlib import Path

import h5py

from ntkspec import sandbox
from ntkspec._io import first_line
from ntkspec.errors import UsageError
from ntkspec.store import digest, schema
from ntkspec.store.checks import AnyArray
from ntkspec.store.disk import open_hdf5


def read_unfinished(part: Path, mode: str) -> tuple[h5py.File, dict[str, AnyArray]]:
    """Open an interrupted file and read its samples; raise `UsageError` if it is damaged."""
    try:
        file = open_hdf5(part, mode)
        stored = {name: data[...] for name, data in file[schema.SAMPLES].items()}
        for name, group in file[schema.SNAPSHOTS].items():
            if group.attrs.get("complete", False) and digest.DIGEST in group.attrs:
                where = f"{part}: /{schema.SNAPSHOTS}/{name}"
                digest.compare_digest(group, where, digest.snapshot_digest(group, where))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            str(part),
            expected="an interrupted run file to resume",
            got=first_line(error),
            remedy="delete it, or start without resume",
        ) from None
    return file, stored


def try_unfinished(part: Path, _: sandbox.Step) -> None:
    """Read an interrupted file as `read_unfinished`, for a trial in another process."""
    read_unfinished(part, "r")


def unfinished_snapshots(file: h5py.File) -> list[str]:
    """Return the ids of the snapshots that are not complete."""
    snapshots = file[schema.SNAPSHOTS]
    return [name for name in snapshots if not snapshots[name].attrs.get("complete", False)]
