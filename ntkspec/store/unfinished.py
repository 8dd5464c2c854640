"""Read run files that a killed writer left unfinished; continue or remove them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from ntkspec import sandbox
from ntkspec._io import first_line
from ntkspec.errors import OutputError, RunFileError, UsageError, shown
from ntkspec.store import checks, digest, schema
from ntkspec.store.checks import AnyArray
from ntkspec.store.disk import is_locked, open_hdf5, reserve
from ntkspec.store.reader import open_run


def is_complete(path: Path) -> bool | None:
    """Return whether a run file is marked as complete, not as interrupted; None if there is none to read.

    The file may be damaged, so another process reads it first.
    """
    with contextlib.suppress(RunFileError), open_run(path, trial=True) as run:
        return run.complete
    return None


def check_resumable(path: Path, part: Path, *, complete: bool) -> None:
    """Raise `OutputError` if the run to resume is complete, or if two files have it."""
    if os.path.exists(path) and os.path.exists(part):
        raise OutputError(
            str(path),
            expected="one file to resume",
            got=f"a file of this name, and the unfinished {part.name} beside it",
            remedy="resume=True with overwrite=True continues the latter and replaces the former at the end",
        )
    if complete:
        raise OutputError(
            str(path),
            expected="an unfinished run file",
            got="one that is finished, with nothing to resume",
            remedy="choose another name, or replace it by overwrite=True",
        )


def check_unfinished(part: Path, *, overwrite: bool, resumable: bool = False) -> None:
    """Raise `OutputError` if a killed writer left complete snapshots in `part`, unless they may be replaced.

    The file may be damaged, so another process reads it first.

    Args:
        part: the unfinished file, which need not exist.
        overwrite: whether it may be replaced.
        resumable: whether the caller could continue it by resume=True, for the message.
    """
    if overwrite or not os.path.exists(part):  # Path raises at long names
        return
    with contextlib.suppress(RunFileError), open_run(part, trial=True) as run:  # else nothing can be read
        count = len(run)
        raise OutputError(
            str(part),
            expected="no unfinished run file",
            got=f"one with {count} complete snapshot{'s' * (count != 1)}",
            remedy="continue it by resume=True, " * resumable
            + "replace it by ⟦--overwrite=True⟧, or move it away",
        )


def clear(part: Path, fresh: Path) -> None:
    """Remove what an earlier writer left; raise `OutputError` if a process has it open."""
    if not part.exists():
        return
    _require_closed(part)
    part.unlink()
    fresh.unlink(missing_ok=True)


def _require_closed(part: Path) -> None:
    """Raise `OutputError` if a process has the file open: another writer, or a reader."""
    if is_locked(part):
        raise OutputError(
            str(part),
            expected="a file that no other writer or reader has open",
            got="one that is open",
            remedy="close it, in this session perhaps, wait for it, or choose another name",
        )


def take_back(path: Path, part: Path, fresh: Path, samples: Mapping[str, AnyArray]) -> h5py.File:
    """Rename a file that is marked as interrupted to `part`, and open it for writing as `reopen` does.

    After an error it has its name again.
    """
    _require_closed(path)
    os.replace(path, part)
    try:
        return reopen(part, fresh, samples)
    except BaseException:
        os.replace(part, path)
        raise


def reopen(part: Path, fresh: Path, samples: Mapping[str, AnyArray]) -> h5py.File:
    """Remove the unfinished snapshots of an interrupted file, and open it for writing.

    Args:
        part: the file.
        fresh: where a copy of it may be written.
        samples: name -> array, of the run that is to be continued.

    Raises:
        UsageError: the file is damaged, a link, or has other samples.
        OutputError: a process has it open.
    """
    if part.is_symlink():
        raise UsageError(
            str(part),
            expected="an interrupted run file to resume",
            got="a link",
            remedy="delete it, or give overwrite in place of resume",
        )
    _require_closed(part)
    size = part.stat().st_size
    sandbox.try_out(part, "resume", partial(_try, part), max(size, 2**28))
    with _open_part(part, "r", samples) as old:
        if unfinished := _unfinished(old):
            reserve(fresh, size)
            try:
                with open_hdf5(fresh, "w") as new:
                    _copy_without(unfinished, old, new)
                os.replace(fresh, part)
            finally:
                fresh.unlink(missing_ok=True)
    file = _open_part(part, "r+", samples)
    file.attrs["complete"] = False  # it may have been marked, but not yet renamed
    file.attrs.pop(digest.DIGEST, None)
    return file


def kept(file: h5py.File, label: str, config: str) -> tuple[str, ...]:
    """Return a line for the label and for each entry of the config that a resumed file has otherwise.

    Args:
        file: the file.
        label: that was given; "" if none was.
        config: that was given, as JSON; without entries if none was.
    """
    given, stored, stored_label = json.loads(config), {}, str(file.attrs.get("label", ""))
    with contextlib.suppress(RunFileError):  # its readers will say so
        stored = checks.json_attribute(file, "config", str(file.filename), dict)
    names = {**given, **stored} if given else ()
    entries = [
        ("label", stored_label, label or stored_label),
        *((f"config, {name}", stored.get(name), given.get(name)) for name in names),
    ]
    return tuple(
        f"{name}: the file that is resumed keeps {shown(before)}, not {shown(now)}"
        for name, before, now in entries
        if before != now
    )


def _copy_without(unfinished: Collection[str], old: h5py.File, new: h5py.File) -> None:
    """Copy a file without its unfinished snapshots, whose ids are given.

    Since the writer was killed, parts of unfinished snapshots may be beyond the end of the file that HDF5 has
    recorded. Then they cannot be deleted, and it is not safe to write to the same file.
    """
    new.attrs.update(old.attrs)
    for name in [name for name in old if name != schema.SNAPSHOTS]:
        old.copy(name, new)
    snapshots = new.create_group(schema.SNAPSHOTS)
    for name in [name for name in old[schema.SNAPSHOTS] if name not in unfinished]:
        old.copy(f"{schema.SNAPSHOTS}/{name}", snapshots)


def _open_part(part: Path, mode: str, samples: Mapping[str, AnyArray]) -> h5py.File:
    """Open the interrupted file; raise `UsageError` if it is damaged or has other samples."""
    file, stored = _read(part, mode)
    same = stored.keys() == samples.keys() and all(
        np.array_equal(stored[name], array) for name, array in samples.items()
    )
    if not same:
        file.close()
        raise UsageError(
            str(part),
            expected="the inputs, targets and indices of this run",
            got="others",
            remedy="give those that it was begun with, or another name",
        )
    return file


def _read(part: Path, mode: str) -> tuple[h5py.File, dict[str, AnyArray]]:
    """Open an interrupted file and read its samples; raise `UsageError` if it is damaged."""
    try:
        file = open_hdf5(part, mode)
        stored = {name: data[...] for name, data in file[schema.SAMPLES].items()}
        for name, group in file[schema.SNAPSHOTS].items():
            if not group.attrs.get("complete", False):
                continue
            where = f"{part}: /{schema.SNAPSHOTS}/{name}"
            checks.integer(group, "step", where, 0)
            if digest.DIGEST in group.attrs:
                digest.compare_digest(group, where, digest.snapshot_digest(group, where))
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            str(part),
            expected="an interrupted run file to resume",
            got=first_line(error),
            remedy="delete it, or give overwrite in place of resume",
        ) from None
    return file, stored


def _try(part: Path, _: sandbox.Step) -> None:
    """Read an interrupted file; `sandbox.try_out` calls this function in another process."""
    _read(part, "r")


def _unfinished(file: h5py.File) -> list[str]:
    """Return the ids of the snapshots that are not complete."""
    snapshots = file[schema.SNAPSHOTS]
    return [name for name in snapshots if not snapshots[name].attrs.get("complete", False)]
