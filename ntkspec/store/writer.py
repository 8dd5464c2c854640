"""Write run files that survive being killed.

The file grows under `<name>.part`: default libver, each snapshot flushed before its `complete` mark is set
and flushed again. Only a finished file takes the final name, by `os.replace` after an fsync. A killed
writer leaves `<name>.part`, whose complete snapshots can be read, and which `resume=True` continues.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec._version import __version__
from ntkspec.errors import OutputError, UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, LoadedFactor
from ntkspec.store import schema

CHUNK_BYTES = 2 * 2**20  # the contract asks for 1 to 4 MiB
PART = ".part"
OVERHEAD_BYTES = 2**20  # groups, attributes and chunk indices of a snapshot


class RunWriter:
    """Writes one run file. Use as a context manager: leaving it cleanly gives the file its final name.

    Args:
        path: final name of the file.
        inputs: (n, d) float32 or float64, coordinates as the model received them.
        targets: (n, c), optional.
        indices: (n,) integers, optional: position of each sample in its data set.
        label: short display name.
        config: JSON-able mapping, free form.
        overwrite: replace an existing file, at the end.
        resume: continue `<path>.part` if there is one; its samples must be the same.

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
        check_writable(self.path, overwrite=overwrite)
        samples = {
            schema.INPUTS: _floats(inputs, "inputs", 2),
            schema.TARGETS: None if targets is None else _floats(targets, "targets", 2),
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
        reserve(self.part, sum(array.nbytes for array in self._samples.values()))
        file = h5py.File(self.part, "w")
        file.attrs["format"] = schema.FORMAT
        file.attrs["version"] = schema.VERSION
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")
        file.attrs["producer"] = f"ntkspec {__version__}"
        file.attrs["label"] = label
        file.attrs["config"] = _json(config, "config")
        file.attrs["complete"] = False
        for name, array in self._samples.items():
            _dataset(file.require_group(schema.SAMPLES), name, array.shape, array.dtype)[...] = array
        file.create_group(schema.SNAPSHOTS)
        file.flush()
        return file

    def _continue(self) -> h5py.File:
        try:
            file = h5py.File(self.part, "r+")
            stored = {name: data[...] for name, data in file[schema.SAMPLES].items()}
            snapshots = file[schema.SNAPSHOTS]
        except (OSError, KeyError) as error:
            raise UsageError(
                str(self.part),
                expected="an interrupted run file to resume",
                got=_reason(error),
                remedy="delete it, or start without resume",
            ) from None
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
        for name in [name for name in snapshots if not snapshots[name].attrs.get("complete", False)]:
            del snapshots[name]
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
        """A new snapshot to fill. It is marked complete on a clean exit, and deleted after an exception."""
        snapshots = self._file[schema.SNAPSHOTS]
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
                group.attrs["step"] = int(step)
                group.attrs["label"] = label
                group.attrs["metrics"] = _json(metrics or {}, "metrics")
                group.attrs["complete"] = False
            writer = SnapshotWriter(group, self.n, self.part)
            yield writer
            writer.check_filled()
            with writing(self.path):
                self._file.flush()
                group.attrs["complete"] = True
                self._file.flush()
        except BaseException:
            with contextlib.suppress(Exception):
                del snapshots[id]
            raise

    def picture(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """Store a picture (H, W) or (H, W, 3), uint8: "truth", or the id of the snapshot that drew it."""
        pixels = np.asarray(pixels)
        grey_or_rgb = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
        if pixels.dtype != np.uint8 or not grey_or_rgb or pixels.size == 0:
            raise UsageError(
                f"picture {name!r}",
                expected="uint8 of shape (H, W) or (H, W, 3)",
                got=f"{pixels.dtype} {pixels.shape}",
                remedy="convert it",
            )
        with writing(self.path):
            group = self._file.require_group(schema.PICTURES)
            group.attrs["format"] = schema.PICTURES_FORMAT
            if name in group:
                del group[name]
            group.create_dataset(name, data=pixels)

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
            self._file.flush()
            self._file.attrs["complete"] = True
            self._file.flush()
            self._file.close()
            with self.part.open("rb+") as handle:
                os.fsync(handle.fileno())
            os.replace(self.part, self.path)

    def abandon(self) -> None:
        """Stop early. What is complete stays in `<path>.part`; with no complete snapshot nothing stays."""
        worth_keeping = False
        with contextlib.suppress(Exception):
            worth_keeping = bool(self.complete_snapshots)
        with contextlib.suppress(Exception):
            self._file.close()
        if not worth_keeping:
            self.part.unlink(missing_ok=True)


class SnapshotWriter:
    """Fills one snapshot, a range of samples at a time."""

    def __init__(self, group: h5py.Group, n: int, part: Path) -> None:
        self._group = group
        self._n = n
        self._part = part
        self._filled = 0

    def write(self, start: int, outputs: NDArray[Any], jacobian: Jacobian) -> None:
        """Write samples start, start + 1, ...: outputs (m, c) and the Jacobian's m samples, in order.

        The first call creates the datasets; later ones must bring the same blocks.
        """
        if start != self._filled:
            raise UsageError(
                "snapshot", expected=f"sample {self._filled} next", got=f"{start}", remedy="write in order"
            )
        outputs = _floats(outputs, "outputs", 2)
        if len(outputs) != jacobian.samples or start + len(outputs) > self._n:
            raise UsageError(
                "snapshot",
                expected=f"as many outputs as samples in the Jacobian ({jacobian.samples}), {self._n} in all",
                got=f"{len(outputs)} from {start}",
                remedy="give one row a sample",
            )
        stop = start + len(outputs)
        with writing(self._part):
            if start == 0:
                reserve(self._part, (outputs.nbytes + jacobian.nbytes) * self._n // jacobian.samples)
                _dataset(self._group, schema.OUTPUTS, (self._n, *outputs.shape[1:]), outputs.dtype)
                for block in jacobian:
                    self._create(block)
            self._group[schema.OUTPUTS][start:stop] = outputs
            for block in jacobian:
                self._fill(block, start, stop)
        self._filled = stop

    def _create(self, block: Block) -> None:
        group = self._group.require_group(schema.BLOCKS).create_group(_hdf5_name(block.name))
        group.attrs["role"] = block.role
        group.attrs["order"] = block.order
        group.attrs["parameters"] = json.dumps(
            [{"name": parameter.name, "shape": list(parameter.shape)} for parameter in block.parameters]
        )
        for side, factor in _sides(block):
            if isinstance(factor, DenseFactor):
                _dataset(group, side, _shape(side, self._n, factor), factor.dtype)
            else:
                sparse = group.create_group(side)
                sparse.attrs[schema.COLUMNS] = factor.columns
                indices = factor.indices
                _dataset(sparse, schema.INDICES, (self._n, *indices.shape[1:]), indices.dtype)
                _dataset(sparse, schema.VALUES, _shape(side, self._n, factor), factor.dtype)

    def _fill(self, block: Block, start: int, stop: int) -> None:
        group = self._group[schema.BLOCKS][_hdf5_name(block.name)]
        for side, factor in _sides(block):
            values = factor.values[:, 0] if side == schema.LEFT else factor.values
            if isinstance(factor, DenseFactor):
                group[side][start:stop] = values
            else:
                group[side][schema.INDICES][start:stop] = factor.indices
                group[side][schema.VALUES][start:stop] = values

    def check_filled(self) -> None:
        """Raise unless every sample was written."""
        if self._filled != self._n:
            raise UsageError(
                "snapshot", expected=f"{self._n} samples", got=f"{self._filled}", remedy="write all of them"
            )


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` unless a file can be put at `path`."""
    if path.is_dir():
        raise OutputError(str(path), expected="a file name", got="a folder", remedy="name a file in it")
    if path.exists() and not overwrite:
        raise OutputError(
            str(path), expected="a new file", got="one that exists", remedy="choose another name or overwrite"
        )
    folder = path.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        got = "one that cannot be written" if folder.is_dir() else "no such folder"
        raise OutputError(
            str(path), expected=f"a writable folder {folder}", got=got, remedy="create it or choose another"
        )


def reserve(part: Path, size: int) -> None:
    """Raise `OSError` unless the file can grow by `size` bytes (and what HDF5 adds to them).

    HDF5 cannot recover from a failed write: the process may crash when the file is closed. So the room is
    tried out beforehand, on a scratch file as large as this one will be.
    """
    now = part.stat().st_size if part.exists() else 0
    scratch = part.with_name(part.name + ".room")
    try:
        with scratch.open("wb") as handle:
            os.posix_fallocate(handle.fileno(), 0, now + size + size // 50 + OVERHEAD_BYTES)
    finally:
        scratch.unlink(missing_ok=True)


def _sides(block: Block) -> list[tuple[str, LoadedFactor]]:
    sides = ((schema.LEFT, block.left), (schema.RIGHT, block.right))
    return [(side, factor.load()) for side, factor in sides if factor is not None]


def _shape(side: str, n: int, factor: LoadedFactor) -> tuple[int, ...]:
    """Left factors do not depend on the output and are stored without that axis."""
    tail = factor.values.shape[2:] if side == schema.LEFT else factor.values.shape[1:]
    return (n, *tail)


def _dataset(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any) -> h5py.Dataset:
    row_bytes = max(np.dtype(dtype).itemsize * math.prod(shape[1:]), 1)
    rows = min(max(CHUNK_BYTES // row_bytes, 1), shape[0])
    columns = shape[1:]
    if row_bytes > 2 * CHUNK_BYTES:  # a row of a large dense Jacobian: split the last axis too
        others = np.dtype(dtype).itemsize * math.prod(shape[1:-1])
        columns = (*shape[1:-1], max(CHUNK_BYTES // others, 1))
    return group.create_dataset(name, shape=shape, dtype=dtype, chunks=(rows, *columns) if rows else None)


def _floats(array: NDArray[Any], name: str, ndim: int) -> NDArray[Any]:
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64) or array.ndim != ndim or not np.isfinite(array).all():
        got = f"{array.dtype} of shape {array.shape}"
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            got += " with NaN or Inf"
        raise UsageError(
            name,
            expected=f"finite float32 or float64 with {ndim} axes",
            got=got,
            remedy="convert or clean it",
        )
    return array


def _json(mapping: Mapping[str, Any], name: str) -> str:
    try:
        return json.dumps(dict(mapping), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UsageError(
            name, expected="a mapping that JSON can hold", got=str(error), remedy="leave out what is not JSON"
        ) from None


def _hdf5_name(name: str) -> str:
    """The contract lets a block have any HDF5 name; a slash would make groups within groups."""
    return name.replace("/", "|")


def _reason(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into one line."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            str(path),
            expected="to write the run file",
            got=error.strerror or _reason(error),
            remedy="check space and permissions; complete snapshots are kept in the .part file",
        ) from None
