"""Read run files: the structure is checked when a file is opened, the numbers when they are read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec import sandbox
from ntkspec.arguments.real_arrays import FLOATS, INTEGERS, Floats
from ntkspec.display import Named, NotAnArray, counted, digits, html_table, listed
from ntkspec.errors import KernelFileError, RunFileError, named_path
from ntkspec.machine.memory import budget_bytes
from ntkspec.qualities import values_of
from ntkspec.store import checks, digest, schema
from ntkspec.store.by_key import by_key
from ntkspec.store.opening import check_is_file, not_a_run_file, open_for_reading
from ntkspec.store.pictures import read_pictures
from ntkspec.store.snapshot_reader import Snapshot, open_snapshot
from ntkspec.store.stored import Stored, open_stored, require_open


class Run(NotAnArray, Named):
    """An open run file, as `open_run` gives it: a context manager. Every process opens the file for itself.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/mpe.h5") as run:
        ...     print(run)
        Run('data/golden/mpe.h5', 'MPE', 40 samples, snapshots: init)
    """

    _ARRAYS = "one of its arrays: .inputs, .targets, or the Jacobian of a snapshot"

    def __init__(self, path: Path, file: h5py.File, budget: int, trial: bool = False) -> None:
        self.path = path
        self._file = file
        self._budget = budget
        self._trial = trial
        where = str(path)
        format = checks.text(file, "format", where)
        if format == schema.KERNELS_FORMAT:
            raise KernelFileError(
                where, expected="a run file", got="a file of kernels", remedy="name the run file they are of"
            )
        if format != schema.FORMAT:
            raise not_a_run_file(path, f"format {format!r}")
        version = checks.integer(file, "version", where, 0)
        if version not in schema.VERSIONS:
            raise RunFileError(
                where,
                expected=f"version {' or '.join(map(str, schema.VERSIONS))}",
                got=f"version {version}",
                remedy="upgrade ntkspec or export again",
            )
        self.created = checks.moment(file, "created", where)
        self.producer = checks.text(file, "producer", where)
        self.label = checks.text(file, "label", where)
        self.config: Mapping[str, Any] = checks.json_attribute(file, "config", where, dict)
        self.complete = checks.flag(file, "complete", where)
        self._inputs, self._targets, self._indices = self._open_samples()
        self.warnings: tuple[str, ...] = ()
        self.snapshots = self._open_snapshots()
        self.digest = self._check_digests()  # of a finished file of this package's writer, else None

    def __repr__(self) -> str:
        snapshots = listed([snap.id for snap in self.snapshots]) + ("" if self.complete else ", interrupted")
        return (
            f"Run({str(self.path)!r}, {self.label!r}, {counted(sample=self.samples)}, snapshots: {snapshots})"
        )

    def _repr_html_(self) -> str:
        """Return a table of the snapshots, for notebooks."""
        metrics = [values_of(snap.metrics) for snap in self.snapshots]
        names = dict.fromkeys(name for values in metrics for name in values)
        rows = [
            (snap.id, snap.label, snap.step, *(digits(values.get(name)) for name in names))
            for snap, values in zip(self.snapshots, metrics, strict=True)
        ]
        title = f"Run {self.label!r}, {counted(sample=self.samples)}, {self.path}"
        return html_table(title, ("snapshot", "label", "step", *names), rows)

    # -- samples

    @property
    def samples(self) -> int:
        """Return n, the number of samples."""
        return int(self._inputs.data.shape[0])

    @property
    def inputs(self) -> Floats:
        """Return the coordinates (n, d) as the model received them."""
        return self._inputs.read()

    @property
    def has_targets(self) -> bool:
        """Return whether the file has targets; nothing is read."""
        return self._targets is not None

    @property
    def targets(self) -> Floats | None:
        """Return the targets (n, c), or None if the file has none."""
        return None if self._targets is None else self._targets.read()

    @property
    def indices(self) -> NDArray[np.int64] | None:
        """Return the position of each sample in its data set, (n,), or None if the file has none."""
        return None if self._indices is None else self._indices.read()

    # -- snapshots

    def snapshot(self, key: str | int) -> Snapshot:
        """Return the last snapshot with this label, else the one with this id or step.

        Args:
            key: a label, an id, or a step as a number or in digits; -1 for the last snapshot of all.

        Raises:
            UsageError: there is none.

        Example:
            >>> with open_run("data/golden/foreign.h5") as run:
            ...     run.snapshot("end").step, run[7].id, [snap.label for snap in run]
            (7, '0007', ['end'])
        """
        return by_key(self.snapshots, key, str(self.path))

    __getitem__ = snapshot

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self.snapshots)

    def __len__(self) -> int:
        return len(self.snapshots)

    @cached_property
    def pictures(self) -> Mapping[str, NDArray[np.uint8]]:
        """Return the pictures that travel with the run, uint8, by name: "truth" and ids of snapshots."""
        require_open(self._file, str(self.path))
        return read_pictures(self._file, str(self.path), self._budget)

    def check_values(self) -> None:
        """Read every number once, compare checksums if the file has them, and follow every link.

        If the file was opened with `trial`, compressed numbers are read in another process first.

        Raises:
            RunFileError: docs/run-format.md forbids a number or a link, or a checksum is wrong.
        """
        require_open(self._file, str(self.path))
        if self._trial and any(stored.filtered for stored in self._stored()):
            look = partial(_read_filtered, self.path, self._budget)
            sandbox.try_out(self.path, "filters", look, self._budget)
        for stored in filter(None, (self._inputs, self._targets, self._indices)):
            stored.check()
        checks.links_stay_inside(self._file, str(self.path))
        for snap in self.snapshots:
            snap.check_values()
        read_pictures(self._file, str(self.path), self._budget)

    def _stored(self) -> Iterator[Stored]:
        yield from filter(None, (self._inputs, self._targets, self._indices))
        for snap in self.snapshots:
            yield from snap.stored()

    def close(self) -> None:
        """Close the file; afterwards nothing more can be read from it."""
        self._file.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- opening

    def _open_samples(self) -> tuple[Stored, Stored | None, Stored | None]:
        where = f"{self.path}: /{schema.SAMPLES}"
        group = checks.child(self._file, schema.SAMPLES, h5py.Group, f"{self.path}: ")
        checks.members(group, where)
        inputs = open_stored(group, schema.INPUTS, where, FLOATS, (None, None), self._budget)
        n = int(inputs.data.shape[0])
        targets = indices = None
        if checks.has(group, schema.TARGETS, where):
            targets = open_stored(group, schema.TARGETS, where, FLOATS, (n, None), self._budget)
        if checks.has(group, schema.INDICES, where):
            indices = open_stored(group, schema.INDICES, where, INTEGERS[1:], (n,), self._budget)
        return inputs, targets, indices

    def _open_snapshots(self) -> tuple[Snapshot, ...]:
        where = f"{self.path}: /{schema.SNAPSHOTS}"
        group = checks.child(self._file, schema.SNAPSHOTS, h5py.Group, f"{self.path}: ")
        complete: list[str] = []
        ignored: list[str] = []
        for name in checks.groups(group, where):
            item = checks.child(group, name, h5py.Group, where)
            unmarked = not self.complete and "complete" not in item.attrs
            done = not unmarked and checks.flag(item, "complete", f"{where}/{name}")
            (complete if done else ignored).append(name)
        if not complete:
            raise RunFileError(
                str(self.path),
                expected="at least one complete snapshot",
                got=f"{len(ignored)} unfinished" if ignored else "none",
                remedy="export again, or resume the interrupted export",
            )
        self.warnings = self._interruption(ignored)
        c = None if self._targets is None else int(self._targets.data.shape[1])
        snapshots = [
            open_snapshot(group, name, f"{where}/{name}", self.samples, c, self._budget) for name in complete
        ]
        return tuple(sorted(snapshots, key=lambda snap: snap.step))

    def _check_digests(self) -> str | None:
        """Compare the digests of names, shapes and attributes, if the file has them; return that of all."""
        where = f"{self.path}: /{schema.SNAPSHOTS}"
        groups = {snap.id: self._file[schema.SNAPSHOTS][snap.id] for snap in self.snapshots}
        signed = [name for name in groups if checks.has(groups[name].attrs, digest.DIGEST, where)]
        if not signed and not checks.has(self._file.attrs, digest.DIGEST, where):
            return None
        computed = {name: digest.snapshot_digest(groups[name], f"{where}/{name}") for name in groups}
        for name in signed:
            digest.compare_digest(groups[name], f"{where}/{name}", computed[name])
        if not self.complete:
            return None
        whole = digest.root_digest(self._file, f"{self.path}: ", computed)
        # Every finished file that has digests has that of the whole, too.
        digest.compare_digest(self._file, str(self.path), whole)
        return whole

    def _interruption(self, ignored: list[str]) -> tuple[str, ...]:
        """Return the warning of a file whose writer was interrupted; none if it was not."""
        if self.complete and not ignored:
            return ()
        what = (
            f"ignored unfinished snapshots: {', '.join(ignored)}"
            if ignored
            else "all its snapshots are complete"
        )
        return (f"{self.path}: the export was interrupted; {what}",)


def open_run(path: str | os.PathLike[str], *, memory: float | None = None, trial: bool = False) -> Run:
    """Open a run file and check its whole structure; numbers are read and checked on demand.

    On a damaged file the HDF5 library may hang or crash, and with it this process. With `trial`, another
    process reads the file first, and a hang or a crash becomes an error.

    Args:
        path: the file.
        memory: budget in GiB for what is read at once; default: 80% of what is free.
        trial: read the file in another process first, as the commands do (on Linux alone). That takes a third
            of a second, and in a `ntkspec.sandbox.server` some 0.05 s for each further file.

    Raises:
        RunFileError: the file does not obey docs/run-format.md.

    Example:
        >>> with open_run("data/golden/mpe.h5", trial=True) as run:
        ...     run.check_values()
        ...     run.inputs.shape, run.snapshot("init").outputs.shape
        ((40, 2), (40, 3))
    """
    path, budget = named_path(path), budget_bytes(memory)
    check_is_file(path)
    if trial:
        sandbox.try_out(path, "structure", partial(_walk, path, budget), budget)
    file = open_for_reading(path)
    try:
        with checks.reading(str(path)):
            return Run(path, file, budget, trial)
    except BaseException:
        file.close()
        raise


def _walk(path: Path, budget: int, step: sandbox.Step) -> None:
    """Read every chunk index, picture and link, in another process; call `step` before each part."""
    run = Run(path, open_for_reading(path), budget)
    for stored in run._stored():
        step()
        checks.chunks_inside(stored.data, stored.where)
    step()
    read_pictures(run._file, str(path), budget)
    step()
    with contextlib.suppress(RunFileError):  # only `check_values` minds what is never read
        checks.links_stay_inside(run._file, str(path))


def _read_filtered(path: Path, budget: int, step: sandbox.Step) -> None:
    """Read every number that is compressed, in another process; call `step` after each read."""
    for stored in Run(path, open_for_reading(path), budget)._stored():
        if stored.filtered:
            for _ in stored.panels():
                step()
