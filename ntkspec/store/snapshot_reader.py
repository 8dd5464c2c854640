"""Open one snapshot of a run file and check its structure: attributes, blocks, factors."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import h5py
import numpy as np
from numpy.typing import NDArray

from ntkspec.arguments.real_arrays import FLOATS, INTEGERS, Floats
from ntkspec.display import NotAnArray, counted, html_table, listed
from ntkspec.errors import RunFileError
from ntkspec.jacobian import Block, DenseFactor, Factor, Jacobian, PairsFactor, Parameter, SparseFactor
from ntkspec.qualities import values_of
from ntkspec.store import checks, schema
from ntkspec.store.stored import Stored, open_stored
from ntkspec.store.texts import is_metric


@dataclass(frozen=True, repr=False)
class Snapshot(NotAnArray):
    """One complete snapshot of a run: the network's outputs and Jacobian at one step of its training.

    Example:
        >>> import ntkspec
        >>> with ntkspec.open_run("data/golden/foreign.h5") as run:
        ...     snapshot = run.snapshot("end")
        ...     kernel = ntkspec.gram(snapshot.jacobian, outputs="trace")
        >>> snapshot.id, snapshot.step, kernel.shape
        ('0007', 7, (40, 40))
        >>> snapshot
        Snapshot('0007', 'end', step 7, loss 0.01, 2 blocks of 109 parameters)
    """

    _ARRAYS = "one of its arrays, .outputs, or ntkspec.gram(snapshot.jacobian)"

    id: str  # by which it is stored
    step: int  # of the training
    label: str  # such as "init" or "end"; need not be unique
    metrics: Mapping[str, float]
    blocks: tuple[Block, ...]  # read on demand
    scales: Mapping[str, Stored]  # by block name, where the file has them: (a, b)
    _outputs: Stored
    _regions: Stored | None
    _certain: bool  # whether rounding cannot have put a sample into the wrong region
    _arrays: tuple[Stored, ...]  # of all factors

    def __repr__(self) -> str:
        metrics = listed([f"{name} {value:.4g}" for name, value in values_of(self.metrics).items()])
        known = f", {metrics}" if metrics else ""
        return f"Snapshot({self.id!r}, {self.label!r}, step {self.step}{known}, {self._blocks})"

    @property
    def _blocks(self) -> str:
        width = sum(block.width for block in self.blocks)
        return f"{counted(block=len(self.blocks))} of {counted(parameter=width)}"

    def _repr_html_(self) -> str:
        """Return a table of what the snapshot holds, for notebooks."""
        rows = [("label", self.label), ("step", self.step), ("Jacobian", self._blocks)]
        rows += [(name, f"{value:.4g}") for name, value in values_of(self.metrics).items()]
        return html_table(f"Snapshot {self.id!r}", (), rows)

    @cached_property
    def jacobian(self) -> Jacobian:
        """Return the Jacobian: blocks, read on demand, and the activation regions if the file has them."""
        return Jacobian(self.blocks, self.regions, self._certain)

    @property
    def outputs(self) -> Floats:
        """Return the network's outputs f(x_i), (n, c)."""
        return self._outputs.read()

    @property
    def regions(self) -> NDArray[np.int64] | None:
        """Return the number of each sample's activation region, (n,), or None if the file has none."""
        return None if self._regions is None else self._regions.read()

    def stored(self) -> Iterator[Stored]:
        """Yield all datasets of the snapshot."""
        yield self._outputs
        if self._regions is not None:
            yield self._regions
        yield from self.scales.values()
        yield from self._arrays

    def check_values(self) -> None:
        """Read every number once; raise `RunFileError` at the first that docs/run-format.md forbids."""
        for stored in self.stored():
            stored.check()


def open_snapshot(
    snapshots: h5py.Group, name: str, where: str, n: int, c: int | None, budget: int
) -> Snapshot:
    """Open one complete snapshot, whose structure is checked.

    Args:
        snapshots: the group of all snapshots.
        name: id of this one.
        where: its place, for messages.
        n: samples of the run.
        c: outputs, as the targets have them; None without targets.
        budget: bytes that one read may take.

    Raises:
        RunFileError: it does not obey docs/run-format.md.
    """
    group = checks.child(snapshots, name, h5py.Group, where.rpartition("/")[0])
    outputs = open_stored(group, schema.OUTPUTS, where, FLOATS, (n, c), budget)
    c = int(outputs.data.shape[1])
    regions, certain = _open_regions(group, where, n, budget)
    blocks_where = f"{where}/{schema.BLOCKS}"
    blocks_group = checks.child(group, schema.BLOCKS, h5py.Group, where)
    names = checks.groups(blocks_group, blocks_where)
    if not names:
        raise RunFileError(
            blocks_where,
            expected="at least one block",
            got="none",
            remedy="export a model with parameters",
        )
    opened = [_open_block(blocks_group, block, blocks_where, n, c, budget) for block in names]
    blocks = [block for block, _ in opened]
    return Snapshot(
        id=name,
        step=checks.integer(group, "step", where, 0),
        label=checks.text(group, "label", where),
        metrics=_metrics(group, where),
        blocks=tuple(sorted(blocks, key=_place)),
        scales={block.name: scale for block, scale in opened if scale is not None},
        _outputs=outputs,
        _regions=regions,
        _certain=certain,
        _arrays=tuple(
            array for block in blocks for factor in block.factors for array in factor.arrays.values()
        ),
    )


def _open_regions(group: h5py.Group, where: str, n: int, budget: int) -> tuple[Stored | None, bool]:
    """Open the activation regions, if there are any, and read whether they are certain."""
    if not checks.has(group, schema.REGIONS, where):
        return None, False
    regions = open_stored(group, schema.REGIONS, where, INTEGERS[1:], (n,), budget)
    place = f"{where}/{schema.REGIONS}"
    stated = checks.has(regions.data.attrs, schema.CERTAIN, place)
    return regions, stated and checks.flag(regions.data, schema.CERTAIN, place)


def _place(block: Block) -> tuple[int, list[tuple[int, str]]]:
    """Return a key that sorts blocks by order, then by name, with numbers in names sorted as numbers.

    Numbers are compared digit by digit: they may be too long for Python's `int`, or have digits that it does
    not know, such as superscripts.
    """
    parts = re.split(r"([0-9]+)", block.name)
    parts[1::2] = [number.lstrip("0") for number in parts[1::2]]
    return block.order, [(len(part) if at % 2 else 0, part) for at, part in enumerate(parts)]


def _open_block(
    blocks: h5py.Group, name: str, where: str, n: int, c: int, budget: int
) -> tuple[Block, Stored | None]:
    """Open a block, and its scale where the file has one."""
    group = checks.child(blocks, name, h5py.Group, where)
    where = f"{where}/{name}"
    present = [side for side in checks.members(group, where) if side in (schema.LEFT, schema.RIGHT)]
    if not present:
        raise RunFileError(
            where,
            expected="a factor left, right or both",
            got="neither",
            remedy="store at least one; an absent one is all ones",
        )
    block = Block(
        name=name,
        role=checks.text(group, "role", where),
        samples=n,
        outputs=c,
        left=_open_factor(group, schema.LEFT, where, (n,), budget) if schema.LEFT in present else None,
        right=_open_factor(group, schema.RIGHT, where, (n, c), budget) if schema.RIGHT in present else None,
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
    if not checks.has(group, schema.SCALE, where):
        return block, None
    scale = open_stored(group, schema.SCALE, where, FLOATS, block.widths, budget)
    return block, replace(scale, positive=True)


def _open_factor(group: h5py.Group, side: str, where: str, rows: tuple[int, ...], budget: int) -> Factor:
    """Open the left or right factor of a block, without reading its numbers.

    Args:
        group: the block.
        side: "left" or "right".
        where: the block, for messages.
        rows: (n,) for a left factor, (n, c) for a right one.
        budget: bytes that one read may take.

    Returns:
        A dense, sparse or pairs factor whose arrays are read on demand.
    """
    kind = h5py.Group if checks.is_group(group, side, where) else h5py.Dataset
    item = checks.child(group, side, kind, where)
    one_output = len(rows) == 1
    if kind is h5py.Dataset:
        values = open_stored(group, side, where, FLOATS, (*rows, None), budget)
        return DenseFactor(replace(values, one_output=one_output))
    where = f"{where}/{side}"
    if {schema.LEFT, schema.RIGHT} <= {*checks.members(item, where)}:
        return _open_pairs(item, where, rows, budget)
    indices = open_stored(item, schema.INDICES, where, INTEGERS, (rows[0], None), budget)
    k = int(indices.data.shape[1])
    values = open_stored(item, schema.VALUES, where, FLOATS, (*rows, k), budget)
    columns = checks.integer(item, schema.COLUMNS, where, 1)
    return SparseFactor(replace(indices, below=columns), replace(values, one_output=one_output), columns)


def _open_pairs(item: h5py.Group, where: str, rows: tuple[int, ...], budget: int) -> PairsFactor:
    """Open a factor of T pairs for each sample, which files of version 2 may have."""
    version = checks.integer(item.file, "version", where, 0)
    if version < schema.VERSION_OF_PAIRS:
        raise RunFileError(
            where,
            expected=f"indices, values and columns, or version {schema.VERSION_OF_PAIRS} of the file",
            got=f"pairs in version {version}",
            remedy=f"set the file's version to {schema.VERSION_OF_PAIRS}",
        )
    left = open_stored(item, schema.LEFT, where, FLOATS, (rows[0], None, None), budget)
    uses = int(left.data.shape[1])
    right = open_stored(item, schema.RIGHT, where, FLOATS, (*rows, uses, None), budget)
    return PairsFactor(replace(left, one_output=True), replace(right, one_output=len(rows) == 1))


def _metrics(group: h5py.Group, where: str) -> dict[str, float]:
    """Read the metrics, which must be finite numbers."""
    metrics = checks.json_attribute(group, "metrics", where, dict)
    for name, value in metrics.items():
        if not is_metric(value):
            raise RunFileError(
                f"{where}, attribute 'metrics'",
                expected="finite numbers only",
                got=f"{name!r}: {value!r}"[:120],
                remedy="leave out what is not a number",
            )
    return {name: float(value) for name, value in metrics.items()}


def _parameters(group: h5py.Group, where: str) -> tuple[Parameter, ...]:
    """Read the names and the shapes of a block's parameters."""
    parameters = []
    for entry in checks.json_attribute(group, "parameters", where, list):
        shape = entry.get("shape") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        sizes_ok = isinstance(shape, list) and all(type(size) is int and size >= 0 for size in shape)
        if not isinstance(name, str) or not sizes_ok:
            doubles = isinstance(shape, list) and any(type(size) is float for size in shape)
            raise RunFileError(
                f"{where}, attribute 'parameters'",
                expected='a list of {"name": text, "shape": [sizes]}',
                got=repr(entry)[:120],
                remedy=f"a size: {checks.AS_INTEGER}" if doubles else checks.SEE,
            )
        parameters.append(Parameter(name, tuple(shape or ())))
    return tuple(parameters)
