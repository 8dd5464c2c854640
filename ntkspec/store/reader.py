"""Read run files: the structure is checked when a file is opened, the numbers when they are read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.errors import RunFileError, UsageError
from ntkspec.jacobian import Block, Jacobian, Parameter
from ntkspec.memory import budget_bytes, format_bytes
from ntkspec.store import checks, schema
from ntkspec.store.stored import Stored, StoredDense, StoredSparse

COMPRESSION = 2000  # no filter of HDF5 makes numbers so much smaller; deflate ends at 1032
PICTURE_BYTES = 2**28  # larger "pictures" are ignored


@dataclass(frozen=True)
class Snapshot:
    """One complete snapshot of a run."""

    id: str
    step: int
    label: str
    metrics: Mapping[str, float]
    jacobian: Jacobian  # blocks read on demand
    scales: Mapping[str, Stored]  # by block name, where the file has them: (a, b)
    _outputs: Stored
    _regions: Stored | None
    _factors: tuple[StoredDense | StoredSparse, ...]

    @property
    def outputs(self) -> NDArray[Any]:
        """f(x_i), (n, c)."""
        return self._outputs.read()

    @property
    def regions(self) -> NDArray[np.int64] | None:
        """Activation region of each sample (n,), or None where the file has none."""
        return None if self._regions is None else self._regions.read()

    def check_values(self) -> None:
        """Read every number once; raise `RunFileError` at the first that the contract forbids."""
        for stored in (self._outputs, self._regions, *self._factors, *self.scales.values()):
            if stored is not None:
                stored.check()


class Run:
    """An open run file. Use as a context manager, or call `close`; open it anew in every worker."""

    def __init__(self, path: Path, file: h5py.File, budget: int) -> None:
        self.path = path
        self._file = file
        self._budget = budget
        where = str(path)
        if checks.text(file, "format", where) != schema.FORMAT:
            raise _foreign(path, f"format {checks.text(file, 'format', where)!r}")
        version = checks.integer(file, "version", where, 0)
        if version != schema.VERSION:
            raise RunFileError(
                where,
                expected=f"version {schema.VERSION}",
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

    # -- samples

    @property
    def samples(self) -> int:
        """n."""
        return int(self._inputs.data.shape[0])

    @property
    def inputs(self) -> NDArray[Any]:
        """Coordinates (n, d) as the model received them."""
        return self._inputs.read()

    @property
    def targets(self) -> NDArray[Any] | None:
        """Targets (n, c), or None where the file has none."""
        return None if self._targets is None else self._targets.read()

    @property
    def indices(self) -> NDArray[np.int64] | None:
        """Position of each sample in its data set (n,), or None where the file has none."""
        return None if self._indices is None else self._indices.read()

    # -- snapshots

    def snapshot(self, key: str | int) -> Snapshot:
        """A snapshot by id, else by label (the last of that label), else by step; -1 for the last of all.

        Raises:
            UsageError: there is none.
        """
        if key == -1:
            return self.snapshots[-1]
        found = [snap for snap in self.snapshots if key == snap.id]
        found = found or [snap for snap in self.snapshots if key in (snap.label, snap.step)]
        if not found:
            known = ", ".join(
                f"{snap.id} (label {snap.label!r}, step {snap.step})" for snap in self.snapshots
            )
            raise UsageError(
                f"{self.path}: snapshot",
                expected=f"one of {known}",
                got=repr(key),
                remedy="name one of these",
            )
        return found[-1]

    @cached_property
    def pictures(self) -> Mapping[str, NDArray[np.uint8]]:
        """Pictures that travel with the run, by name: "truth" and snapshot ids. Not part of the contract."""
        group = self._file.get(schema.PICTURES) if self._has_pictures() else {}
        pictures = {}
        for name in group:
            data = group[name]
            if isinstance(data, h5py.Dataset) and _is_picture(data):
                with checks.reading(f"{self.path}: /{schema.PICTURES}/{name}"):
                    pictures[name] = data[...]
        return pictures

    def check_values(self) -> None:
        """Read every number once; raise `RunFileError` at the first that the contract forbids."""
        for stored in filter(None, (self._inputs, self._targets, self._indices)):
            stored.check()
        for snap in self.snapshots:
            snap.check_values()

    def close(self) -> None:
        """Close the file; what was not read is then out of reach."""
        self._file.close()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- opening

    def _stored(
        self, group: h5py.Group, name: str, where: str, dtypes: tuple[np.dtype[Any], ...], *shape: int | None
    ) -> Stored:
        data = checks.dataset(group, name, where, dtypes, shape)
        stored = Stored(data, f"{where}/{name}", self._budget)
        kept = int(data.id.get_storage_size())
        if stored.nbytes > max(self._budget, COMPRESSION * kept):
            raise RunFileError(
                stored.where,
                expected="the numbers that it claims",
                got=f"{format_bytes(stored.nbytes)} claimed, {format_bytes(kept)} stored",
                remedy="write the file again",
            )
        return stored

    def _open_samples(self) -> tuple[Stored, Stored | None, Stored | None]:
        where = f"{self.path}: /{schema.SAMPLES}"
        group = checks.child(self._file, schema.SAMPLES, h5py.Group, f"{self.path}: ")
        checks.members(group, where)
        inputs = self._stored(group, schema.INPUTS, where, checks.FLOATS, None, None)
        n = int(inputs.data.shape[0])
        targets = indices = None
        if checks.has(group, schema.TARGETS, where):
            targets = self._stored(group, schema.TARGETS, where, checks.FLOATS, n, None)
        if checks.has(group, schema.INDICES, where):
            indices = self._stored(group, schema.INDICES, where, checks.INTEGERS[1:], n)
        return inputs, targets, indices

    def _open_snapshots(self) -> tuple[Snapshot, ...]:
        where = f"{self.path}: /{schema.SNAPSHOTS}"
        group = checks.child(self._file, schema.SNAPSHOTS, h5py.Group, f"{self.path}: ")
        complete: list[str] = []
        ignored: list[str] = []
        for name in checks.members(group, where):
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
        snapshots = [self._open_snapshot(group, name, f"{where}/{name}") for name in complete]
        return tuple(sorted(snapshots, key=lambda snap: snap.step))

    def _interruption(self, ignored: list[str]) -> tuple[str, ...]:
        if self.complete and not ignored:
            return ()
        what = (
            f"ignored unfinished snapshots: {', '.join(ignored)}"
            if ignored
            else "all its snapshots are complete"
        )
        return (f"{self.path}: the export was interrupted; {what}",)

    def _open_snapshot(self, snapshots: h5py.Group, name: str, where: str) -> Snapshot:
        group = checks.child(snapshots, name, h5py.Group, where.rpartition("/")[0])
        outputs = self._stored(group, schema.OUTPUTS, where, checks.FLOATS, self.samples, None)
        c = int(outputs.data.shape[1])
        if self._targets is not None and self._targets.data.shape[1] != c:
            raise RunFileError(
                f"{where}/{schema.OUTPUTS}",
                expected=f"{self._targets.data.shape[1]} outputs, as /samples/targets",
                got=f"{c}",
                remedy="store outputs and targets of the same width",
            )
        regions = None
        if checks.has(group, schema.REGIONS, where):
            regions = self._stored(group, schema.REGIONS, where, checks.INTEGERS[1:], self.samples)
        blocks_where = f"{where}/{schema.BLOCKS}"
        blocks_group = checks.child(group, schema.BLOCKS, h5py.Group, where)
        names = checks.members(blocks_group, blocks_where)
        if not names:
            raise RunFileError(
                blocks_where,
                expected="at least one block",
                got="none",
                remedy="export a model with parameters",
            )
        scales: dict[str, Stored] = {}
        blocks = [self._open_block(blocks_group, block, blocks_where, c, scales) for block in names]
        return Snapshot(
            id=name,
            step=checks.integer(group, "step", where, 0),
            label=checks.text(group, "label", where),
            metrics=_metrics(group, where),
            jacobian=Jacobian(tuple(sorted(blocks, key=lambda block: block.order))),
            scales=scales,
            _outputs=outputs,
            _regions=regions,
            _factors=tuple(
                factor
                for block in blocks
                for factor in (block.left, block.right)
                if isinstance(factor, StoredDense | StoredSparse)
            ),
        )

    def _open_block(
        self, blocks: h5py.Group, name: str, where: str, c: int, scales: dict[str, Stored]
    ) -> Block:
        group = checks.child(blocks, name, h5py.Group, where)
        where = f"{where}/{name}"
        present = [side for side in checks.members(group, where) if side in (schema.LEFT, schema.RIGHT)]
        if not present:
            raise RunFileError(
                where,
                expected="a factor left, right or both",
                got="neither",
                remedy="store the block's Jacobian",
            )
        block = Block(
            name=name,
            role=checks.text(group, "role", where),
            samples=self.samples,
            outputs=c,
            left=self._open_factor(group, schema.LEFT, where, ()) if schema.LEFT in present else None,
            right=self._open_factor(group, schema.RIGHT, where, (c,)) if schema.RIGHT in present else None,
            order=checks.integer(group, "order", where, -(2**63)),
            parameters=_parameters(group, where),
        )
        sizes = sum(math.prod(parameter.shape) for parameter in block.parameters)
        if sizes != block.width:
            a, b = block.widths
            raise RunFileError(
                f"{where}, attribute 'parameters'",
                expected=f"sizes that add up to a*b = {a}*{b} = {block.width}",
                got=f"{sizes}",
                remedy="list every parameter of the block with its shape",
            )
        if checks.has(group, schema.SCALE, where):
            scale = self._stored(group, schema.SCALE, where, checks.FLOATS, *block.widths)
            scales[name] = replace(scale, positive=True)
        return block

    def _open_factor(
        self, group: h5py.Group, side: str, where: str, outputs: tuple[int, ...]
    ) -> StoredDense | StoredSparse:
        kind = h5py.Group if isinstance(group.get(side), h5py.Group) else h5py.Dataset
        item = checks.child(group, side, kind, where)
        if kind is h5py.Dataset:
            return StoredDense(self._stored(group, side, where, checks.FLOATS, self.samples, *outputs, None))
        where = f"{where}/{side}"
        checks.members(item, where)
        indices = self._stored(item, schema.INDICES, where, checks.INTEGERS, self.samples, None)
        k = int(indices.data.shape[1])
        values = self._stored(item, schema.VALUES, where, checks.FLOATS, self.samples, *outputs, k)
        return StoredSparse(indices, values, checks.integer(item, schema.COLUMNS, where, 1))

    def _has_pictures(self) -> bool:
        link = self._file.get(schema.PICTURES, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return False
        group = self._file[schema.PICTURES]
        marked = isinstance(group, h5py.Group) and group.attrs.get("format") == schema.PICTURES_FORMAT
        return marked and all(isinstance(group.get(name, getlink=True), h5py.HardLink) for name in group)


def open_run(path: str | os.PathLike[str], *, memory: float | None = None) -> Run:
    """Open a run file, checking its whole structure; numbers are read, and checked, on demand.

    Args:
        path: the file.
        memory: budget in GiB for what is read at once; default 80% of what is free.

    Raises:
        RunFileError: the file does not obey docs/run-format.md.
    """
    path, budget = Path(path), budget_bytes(memory)
    file = _open_hdf5(path)
    try:
        return Run(path, file, budget)
    except BaseException:
        file.close()
        raise


def _open_hdf5(path: Path) -> h5py.File:
    if not path.exists():
        raise RunFileError(str(path), expected="a run file", got="no such file", remedy="check the path")
    if path.is_dir():
        raise RunFileError(str(path), expected="a run file", got="a folder", remedy="name the .h5 file in it")
    if not path.is_file():
        raise RunFileError(str(path), expected="a run file", got="a device or pipe", remedy="name a file")
    try:
        if path.stat().st_size == 0:
            raise _foreign(path, "an empty file")
        with path.open("rb"):
            pass
        if not h5py.is_hdf5(path):
            raise _foreign(path, "a file that is not HDF5")
        return h5py.File(path, "r")
    except OSError as error:
        reason = error.strerror or (str(error).splitlines() or [""])[0]
        raise RunFileError(
            str(path),
            expected="a readable HDF5 file",
            got=f"a damaged or locked one ({reason[:160]})",
            remedy="copy or export it again; wait if it is being written",
        ) from None


def _foreign(path: Path, got: str) -> RunFileError:
    return RunFileError(
        str(path),
        expected=f"a run file (HDF5, format {schema.FORMAT!r})",
        got=got,
        remedy="see docs/run-format.md",
    )


def _metrics(group: h5py.Group, where: str) -> dict[str, float]:
    metrics = checks.json_attribute(group, "metrics", where, dict)
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < math.inf:
            raise RunFileError(
                f"{where}, attribute 'metrics'",
                expected="finite numbers only",
                got=f"{name!r}: {value!r}"[:120],
                remedy="leave out what is not a number",
            )
    return {name: float(value) for name, value in metrics.items()}


def _parameters(group: h5py.Group, where: str) -> tuple[Parameter, ...]:
    parameters = []
    for entry in checks.json_attribute(group, "parameters", where, list):
        shape = entry.get("shape") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        sizes_ok = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
        if not isinstance(name, str) or not sizes_ok:
            raise RunFileError(
                f"{where}, attribute 'parameters'",
                expected='a list of {"name": text, "shape": [sizes]}',
                got=repr(entry)[:120],
                remedy="see docs/run-format.md",
            )
        parameters.append(Parameter(name, tuple(shape or ())))
    return tuple(parameters)


def _is_picture(data: h5py.Dataset) -> bool:
    grey_or_rgb = data.ndim == 2 or (data.ndim == 3 and data.shape[2] == 3)
    inside = not data.is_virtual and not data.external
    return bool(data.dtype == np.uint8 and grey_or_rgb and inside and 0 < data.size <= PICTURE_BYTES)
