"""Write run files that survive being killed.

The file grows under `<name>.part`: default libver, each snapshot flushed before its `complete` mark is set
and flushed again. Only a finished file takes the final name, by `os.replace` after an fsync. A killed
writer leaves `<name>.part`, whose complete snapshots can be read, and which `resume=True` continues.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec import sandbox
from ntkspec._io import first_line
from ntkspec._version import PRODUCER
from ntkspec.counts import whole_number
from ntkspec.errors import OutputError, UsageError
from ntkspec.store import digest, schema
from ntkspec.store.disk import check_writable, locked, open_hdf5, reserve, writing
from ntkspec.store.pictures import require_picture
from ntkspec.store.snapshot_writer import SnapshotWriter, check_floats, create_dataset
from ntkspec.store.texts import check_label, check_name

PART = ".part"


class RunWriter:
    """Writes one run file. Use as a context manager: leaving it cleanly gives the file its final name.

    Args:
        path: final name of the file.
        inputs: (n, d) float32 or float64, coordinates as the model received them.
        targets: (n, c), optional.
        indices: (n,) integers, optional: position of each sample in its data set.
        label: short display name; what no file can hold is replaced.
        config: JSON-able mapping, free form.
        overwrite: replace an existing file, at the end.
        resume: continue `<path>.part` if there is one; its samples must be the same. What a killed writer
            left may be damaged, so another process reads it first; see `ntkspec.open_run`, option `trial`.

    Raises:
        OutputError: the file exists, its folder is absent or not writable, or the disk is full.
        UsageError: arrays whose shapes or dtypes do not fit, or a resumed file with other samples.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        inputs: NDArray[Any],
        targets: NDArray[Any] | None = None,
        indices: NDArray[Any] | None = None,
        label: str = "",
        config: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.part = self.path.with_name(self.path.name + PART)
        self._fresh = self.path.with_name(self.part.name + ".new")  # while `part` is copied
        check_writable(self.path, overwrite=overwrite)
        label = check_label(label, "label of the run")
        samples = {
            schema.INPUTS: check_floats(inputs, "inputs", 2),
            schema.TARGETS: None if targets is None else check_floats(targets, "targets", 2),
            schema.INDICES: None if indices is None else np.asarray(indices, dtype=np.int64),
        }
        self._samples = {name: array for name, array in samples.items() if array is not None}
        self.n = len(inputs)
        for name, array in self._samples.items():
            if len(array) != self.n or not self.n:
                raise UsageError(
                    name,
                    expected=f"{self.n or 1} rows, as inputs",
                    got=f"{len(array)}",
                    remedy="give one row a sample",
                )
        with writing(self.path):
            self._file = (
                self._continue() if resume and self.part.exists() else self._create(label, config or {})
            )

    def _create(self, label: str, config: Mapping[str, Any]) -> h5py.File:
        attributes = {
            "format": schema.FORMAT,
            "version": schema.VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "producer": PRODUCER,
            "label": label,
            "config": _json(config, "config"),
            "complete": False,
        }
        self._clear_part()
        reserve(self.part, sum(array.nbytes for array in self._samples.values()))
        try:
            file = open_hdf5(self.part, "x")
            file.attrs.update(attributes)
            self._write_samples(file)
            file.create_group(schema.SNAPSHOTS)
            file.flush()
        except BaseException:  # Ctrl-C among them: nobody will call `abandon`
            self.part.unlink(missing_ok=True)
            raise
        return file

    def _write_samples(self, file: h5py.File) -> None:
        for name, array in self._samples.items():
            data = create_dataset(file.require_group(schema.SAMPLES), name, array.shape, array.dtype)
            data[...] = array
            data.attrs[digest.CRC] = np.uint32(digest.crc32(array))

    def _clear_part(self) -> None:
        """Remove what an earlier writer left, but not what another one is writing now: HDF5 locks that."""
        if not self.part.exists():
            return
        if locked(self.part):
            raise OutputError(
                str(self.part),
                expected="no other writer",
                got="one at work on this file",
                remedy="wait for it, or choose another name",
            )
        self.part.unlink()
        self._fresh.unlink(missing_ok=True)

    def _continue(self) -> h5py.File:
        if self.part.is_symlink():
            raise UsageError(
                str(self.part),
                expected="an interrupted run file to resume",
                got="a link",
                remedy="delete it, or start without resume",
            )
        size = self.part.stat().st_size
        seconds = sandbox.SECONDS + min(size // 2**21, 60)
        sandbox.try_out(self.part, "resume", partial(_try_part, self.part), max(size, 2**28), seconds)
        with self._open_part("r") as file:
            unfinished = _unfinished(file)
        if unfinished:
            self._leave_out_unfinished(size)
        file = self._open_part("r+")
        file.attrs["complete"] = False  # it may have been killed after its last word, before it was renamed
        file.attrs.pop(digest.DIGEST, None)
        return file

    def _leave_out_unfinished(self, size: int) -> None:
        """Put a copy without unfinished snapshots in the file's place.

        Where the writer was killed, what HDF5 keeps of them may lie beyond the end that the file states:
        deleting them there fails, and writing beside them is not safe.
        """
        fresh = self._fresh
        reserve(fresh, size)
        try:
            with self._open_part("r") as old, open_hdf5(fresh, "w") as new:
                new.attrs.update(old.attrs)
                for name in [name for name in old if name != schema.SNAPSHOTS]:
                    old.copy(name, new)
                kept = new.create_group(schema.SNAPSHOTS)
                for name in [name for name in old[schema.SNAPSHOTS] if name not in _unfinished(old)]:
                    old.copy(f"{schema.SNAPSHOTS}/{name}", kept)
            os.replace(fresh, self.part)
        finally:
            fresh.unlink(missing_ok=True)

    def _open_part(self, mode: str) -> h5py.File:
        """The interrupted file, if it is sound and of the same samples."""
        file, stored = _read_part(self.part, mode)
        same = stored.keys() == self._samples.keys() and all(
            np.array_equal(stored[name], array) for name, array in self._samples.items()
        )
        if not same:
            file.close()
            raise UsageError(
                str(self.part),
                expected="the samples of this run",
                got="other samples",
                remedy="delete it, or start without resume",
            )
        return file

    @property
    def complete_snapshots(self) -> tuple[str, ...]:
        """Ids of the snapshots that are written and complete, in order of step."""
        snapshots = self._file[schema.SNAPSHOTS]
        done = [name for name in snapshots if snapshots[name].attrs["complete"]]
        return tuple(sorted(done, key=lambda name: int(snapshots[name].attrs["step"])))

    @contextlib.contextmanager
    def snapshot(
        self, id: str, *, step: int, label: str, metrics: Mapping[str, float] | None = None
    ) -> Iterator[SnapshotWriter]:
        """Open a new snapshot to fill: marked complete on a clean exit, deleted after an exception."""
        snapshots = self._file[schema.SNAPSHOTS]
        step = whole_number(step, "step", 0)
        check_name(id, "id of a snapshot")
        label = check_label(label, f"label of snapshot {id!r}")
        if not id or "/" in id or id in (".", "..") or id in snapshots:
            raise UsageError(
                f"snapshot {id!r}",
                expected="a new id without '/'",
                got="one that is taken" if id in snapshots else "an unusable one",
                remedy="choose another id",
            )
        try:
            with writing(self.path):
                group = snapshots.create_group(id)
                group.attrs["step"] = step
                group.attrs["label"] = label
                group.attrs["metrics"] = _json(metrics or {}, "metrics")
                group.attrs["complete"] = False
                self._file.flush()  # so that a reader can name what a killed writer left unfinished
            writer = SnapshotWriter(group, self.n, self.part)
            yield writer
            with writing(self.path):
                writer.seal()
                self._file.flush()
                group.attrs["complete"] = True
                self._file.flush()
        except BaseException:
            with contextlib.suppress(Exception):
                del snapshots[id]
            raise

    def picture(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """Store a picture (H, W) or (H, W, 3), uint8: "truth", or the id of the snapshot that drew it."""
        check_name(name, "name of a picture")
        pixels = np.asarray(pixels)
        require_picture(pixels, name)
        with writing(self.path):
            group = self._file.require_group(schema.PICTURES)
            group.attrs["format"] = schema.PICTURES_FORMAT
            if name in group:
                del group[name]
            data = group.create_dataset(name, data=pixels)
            data.attrs[digest.CRC] = np.uint32(digest.crc32(pixels))

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def finish(self) -> None:
        """Mark the file complete and give it its final name."""
        with writing(self.path):
            # A snapshot that was begun anew may have taken pairs with it.
            self._file.attrs["version"] = schema.VERSION_OF_PAIRS if self._has_pairs() else schema.VERSION
            self._file.attrs[digest.DIGEST] = self._digest()
            self._file.flush()
            self._file.attrs["complete"] = True
            self._file.flush()
            self._file.close()
            with self.part.open("rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(self.part, self.path)

    def _has_pairs(self) -> bool:
        """Whether some factor is one of pairs, which version 1 of the format has not."""
        blocks = [
            block
            for name in self.complete_snapshots
            for block in self._file[schema.SNAPSHOTS][name][schema.BLOCKS].values()
        ]
        sides = [side for block in blocks for side in block.values() if isinstance(side, h5py.Group)]
        return any(schema.RIGHT in side for side in sides)

    def _digest(self) -> str:
        snapshots = self._file[schema.SNAPSHOTS]
        found = {
            name: digest.snapshot_digest(snapshots[name], str(self.part)) for name in self.complete_snapshots
        }
        return digest.root_digest(self._file, str(self.part), found)

    def abandon(self) -> None:
        """Stop early. What is complete stays in `<path>.part`; with no complete snapshot nothing stays."""
        worth_keeping = False
        with contextlib.suppress(Exception):
            worth_keeping = bool(self.complete_snapshots)
        with contextlib.suppress(Exception):
            self._file.close()
        if not worth_keeping:
            self.part.unlink(missing_ok=True)


def _read_part(part: Path, mode: str) -> tuple[h5py.File, dict[str, NDArray[Any]]]:
    """An interrupted file, if it is sound, and its samples."""
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


def _try_part(part: Path, _: sandbox.Step) -> None:
    _read_part(part, "r")


def _unfinished(file: h5py.File) -> list[str]:
    """Ids of the snapshots that were being written."""
    snapshots = file[schema.SNAPSHOTS]
    return [name for name in snapshots if not snapshots[name].attrs.get("complete", False)]


def _json(mapping: Mapping[str, Any], name: str) -> str:
    try:
        return json.dumps(dict(mapping), allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(
            name, expected="a mapping that JSON can hold", got=str(error), remedy="leave out what is not JSON"
        ) from None


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not JSON")
