"""Write run files that survive being killed.

The file grows under the name `<name>.part`, in HDF5's default format. Each snapshot is flushed, then marked
complete and flushed again. Only a finished file gets its final name, by `os.replace` after an fsync. A killed
writer leaves `<name>.part`: its complete snapshots can be read, and `resume=True` continues it. Without it or
`overwrite=True`, they are not replaced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ntkspec._io import wait_for_disk
from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.real_arrays import as_array
from ntkspec.display import listed
from ntkspec.errors import UsageError, named_path, shown
from ntkspec.machine.memory import budget_bytes
from ntkspec.qualities import updated
from ntkspec.store import digest, schema
from ntkspec.store.disk import close_hdf5, reserve, writing
from ntkspec.store.ends import begin, check_samples, seal
from ntkspec.store.new_file import check_place
from ntkspec.store.pictures import require_picture, write_picture
from ntkspec.store.snapshot_reader import Snapshot, open_snapshot
from ntkspec.store.snapshot_writer import SnapshotWriter
from ntkspec.store.texts import check_id, check_label, metrics_to_json, to_json
from ntkspec.store.unfinished import (
    check_resumable,
    check_unfinished,
    clear,
    is_complete,
    kept,
    reopen,
    take_back,
)


class RunWriter:
    """A run file that is being written. At the end of the `with` block the file gets its final name.

    Args:
        path: the final name of the file.
        inputs: (n, d), the coordinates as the model received them; converted as `ntkspec.write_run` does.
        targets: (n, c), optional; likewise.
        indices: (n,) integers, optional: the position of each sample in its data set.
        label: short display name; characters that HDF5 cannot store are replaced.
        config: JSON-able mapping, free form.
        overwrite: replace an existing file, at the end, and snapshots that a killed writer left.
        resume: continue `<path>.part`, or a file that `finish` marked as interrupted, if there is one; its
            samples must be the same. It may be damaged, so another process reads it first, as with trial=True
            of `ntkspec.open_run`. It keeps its label and config.

    Raises:
        OutputError: the file exists, a killed writer left complete snapshots in `<path>.part`, the folder is
            absent or not writable, or the disk is full.
        UsageError: shapes or types of arrays do not fit, or the file to resume has other samples; at the end,
            no snapshot was written.

    Example:
        >>> import tempfile, numpy as np, ntkspec
        >>> x, weights = np.linspace(0, 1, 12).reshape(4, 3), np.ones((3, 1))
        >>> path = tempfile.mkdtemp() + "/linear.h5"
        >>> with RunWriter(path, inputs=x, label="linear") as run:
        ...     with run.snapshot("0000", step=0, label="init") as snapshot:
        ...         w, factor = ntkspec.Parameter("w", (3, 1)), ntkspec.DenseFactor(x[:, None])
        ...         block = ntkspec.Block("w", "network", 4, 1, None, factor, parameters=(w,))
        ...         snapshot.write(0, x @ weights, ntkspec.Jacobian((block,)))
        >>> with ntkspec.open_run(path) as run:
        ...     run.label, run.snapshot("init").outputs.ravel()
        ('linear', array([0.27272727, 1.09090909, 1.90909091, 2.72727273]))
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        inputs: ArrayLike,
        targets: ArrayLike | None = None,
        indices: ArrayLike | None = None,
        label: str = "",
        config: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self.path = named_path(path)
        self.part = schema.part_of(self.path)
        self._fresh = Path(f"{self.part}.new")  # while `part` is copied
        complete = is_complete(self.path) if resume and not os.path.exists(self.part) else None
        self._taken_back = complete is False  # a file that has its name is continued
        if resume and not overwrite and not self._taken_back:
            check_resumable(self.path, self.part, complete=complete is True)
        check_unfinished(self.part, overwrite=overwrite or resume, resumable=True)
        label, described = (
            check_label(label, "label of the run"),
            to_json({} if config is None else config, "config"),
        )
        self._samples = check_samples(inputs, targets, indices)
        # Last of the checks: another writer of this file may have finished it during the others.
        check_place(self.path, overwrite=overwrite or self._taken_back)
        self.n = len(self._samples[schema.INPUTS])
        self._c = None if targets is None else self._samples[schema.TARGETS].shape[1]
        self._steps: dict[str, int] = {}  # of complete snapshots, by id: to list them in the file is slow
        self.notes: tuple[str, ...] = ()  # what was given, and a file that is resumed has otherwise
        with writing(self.path):
            if resume and self.part.exists():
                self._file = reopen(self.part, self._fresh, self._samples)
            elif self._taken_back:
                self._file = take_back(self.path, self.part, self._fresh, self._samples)
            else:
                clear(self.part, self._fresh)
                self._file = begin(self.part, self._samples, label, described)
                return
        self._steps = {name: int(group.attrs["step"]) for name, group in self._snapshots.items()}
        self.notes = kept(self._file, label, described)

    @property
    def complete_snapshots(self) -> tuple[str, ...]:
        """Return the ids of the snapshots that are written and complete, in order of step."""
        self._require_open()
        return tuple(sorted(self._steps, key=lambda name: (self._steps[name], name)))

    @contextlib.contextmanager
    def snapshot(
        self, id: str, *, step: int, label: str, metrics: Mapping[str, float] | None = None
    ) -> Iterator[SnapshotWriter]:
        """Begin a snapshot; it is marked complete at the end of the `with` block, or removed after an error.

        Args:
            id: by which it is stored, without "/".
            step: of the training, 0 or more.
            label: such as "init" or "end".
            metrics: finite numbers by name.

        Yields:
            The writer of its samples.

        Raises:
            UsageError: the id is taken or cannot be stored, or samples are missing at the end.
            OutputError: the file cannot be written.
        """
        snapshots = self._snapshots
        step = whole_number(step, "step", 0)
        check_id(id, "id of a snapshot")
        label, numbers = (
            check_label(label, f"label of snapshot {id!r}"),
            metrics_to_json({} if metrics is None else metrics),
        )
        if id in snapshots:
            raise UsageError(f"snapshot {id!r}", expected="a new id", got="one that is taken")
        try:
            with writing(self.path):
                reserve(self.part, len(numbers))
                group = snapshots.create_group(id)
                group.attrs["step"] = step
                group.attrs["label"] = label
                group.attrs["metrics"] = numbers
                group.attrs["complete"] = False
                self._file.flush()  # so that a reader can name an unfinished snapshot
            writer = SnapshotWriter(group, self.n, self._c, self.part)
            yield writer
            with writing(self.path):
                writer.seal()
                self._file.flush()
                group.attrs["complete"] = True
                self._file.flush()
            self._steps[id] = step
        except BaseException:
            self._steps.pop(id, None)
            with contextlib.suppress(Exception):
                del snapshots[id]
            raise

    def read(self, id: str) -> Snapshot:
        """Return a complete snapshot of this file, to be read before the file is finished.

        Raises:
            UsageError: no complete snapshot has this id.
        """
        self._require_complete(id)
        where = f"{self.part}: /{schema.SNAPSHOTS}/{id}"
        return open_snapshot(self._snapshots, id, where, self.n, None, budget_bytes())

    def relabel(self, id: str, label: str, metrics: Mapping[str, float]) -> None:
        """Give a complete snapshot another label and other metrics.

        It stays complete meanwhile: a process that is killed leaves it without a digest at most.

        Raises:
            UsageError: no complete snapshot has this id, or JSON cannot hold the metrics.
            OutputError: the file cannot be written.
        """
        self._require_complete(id)
        group = self._snapshots[id]
        label, text = check_label(label, f"label of snapshot {id!r}"), metrics_to_json(metrics)
        with writing(self.path):
            reserve(self.part, len(text))
            group.attrs.pop(digest.DIGEST, None)  # readers accept a snapshot without one
            self._file.flush()
            group.attrs.modify("label", label)  # in place, while an assignment deletes the attribute first
            group.attrs.modify("metrics", text)
            self._file.flush()
            group.attrs[digest.DIGEST] = digest.snapshot_digest(group, str(self.part))
            self._file.flush()

    def merge(self, id: str) -> str | None:
        """Remove a complete snapshot if another one of its step holds the same numbers, by their checksums.

        The other one then gets its label and its metrics, and loses those that contradict them.

        Returns:
            The id of the other snapshot; None if there is none.

        Raises:
            UsageError: no complete snapshot has this id.
            OutputError: the file cannot be written.
        """
        self._require_complete(id)
        snapshots, where = self._snapshots, str(self.part)
        step, numbers = self._steps[id], digest.numbers_digest(snapshots[id], where)
        for name in self.complete_snapshots:
            same_step = name != id and self._steps[name] == step
            if not same_step or digest.numbers_digest(snapshots[name], where) != numbers:
                continue
            now = self.read(id)
            self.relabel(name, now.label, updated(self.read(name).metrics, now.metrics))
            with writing(self.path):
                reserve(self.part)
                del snapshots[id]  # once the file is closed, new data can take its room in the file
                del self._steps[id]
                self._file.flush()
            return name
        return None

    @property
    def _snapshots(self) -> h5py.Group:
        """Return the group of the snapshots; raise `UsageError` if the file was closed."""
        self._require_open()
        return self._file[schema.SNAPSHOTS]

    def _require_open(self) -> None:
        if not self._file:
            raise UsageError(
                str(self.path),
                expected="a run file that is being written",
                got="one that was finished or abandoned",
                remedy="write inside the with-block",
            )

    def _require_complete(self, id: str) -> None:
        if not isinstance(id, str) or id not in self.complete_snapshots:
            there = listed(self.complete_snapshots) or "there is none"
            raise UsageError("snapshot", expected=f"the id of a complete one ({there})", got=shown(id))

    def picture(self, name: str, pixels: NDArray[np.uint8]) -> None:
        """Store a picture that travels with the run; one of the same name is replaced.

        Args:
            name: "truth", or the id of the snapshot whose outputs it shows.
            pixels: uint8, (H, W) or (H, W, 3).

        Raises:
            UsageError: the array has another dtype or shape, is empty, too large or masked, or no member of
                an HDF5 group can have the name.
            OutputError: the file cannot be written.
        """
        self._require_open()
        check_id(name, "name of a picture")
        pixels = as_array(pixels, f"picture {name!r}")
        require_picture(pixels, name)
        with writing(self.path):
            reserve(self.part, pixels.nbytes, 1)
            write_picture(self._file, name, pixels)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abandon()
            return
        try:
            self.finish()
        except UsageError:
            self.abandon()
            raise

    def finish(self, *, interrupted: bool = False) -> None:
        """Give the file its final name, and mark it complete unless what it records was interrupted.

        After an error it can be called again.

        Raises:
            UsageError: no snapshot is complete.
            OutputError: the file cannot be written.
        """
        if self._file and not self.complete_snapshots:
            raise UsageError(
                str(self.path),
                expected="at least one complete snapshot",
                got="none",
                remedy="write one; nobody could read the file",
            )
        with writing(self.path):
            if self._file:  # else an earlier call closed it
                reserve(self.part)
                seal(self._file, str(self.part), self._steps, interrupted=interrupted)
                close_hdf5(self._file)
            with self.part.open("rb+") as handle:
                wait_for_disk(handle.fileno())
            os.replace(self.part, self.path)

    def abandon(self) -> None:
        """Stop early: complete snapshots stay in `<path>.part`, which is removed if there are none.

        A file that had its name when `resume` continued it gets the name back, marked as interrupted.
        """
        worth_keeping = self._taken_back
        with contextlib.suppress(Exception):
            if self._taken_back:
                self.finish(interrupted=True)
                return
            worth_keeping = bool(self.complete_snapshots)
        with contextlib.suppress(Exception):
            close_hdf5(self._file)
        if not worth_keeping:
            self.part.unlink(missing_ok=True)
