"""RunExporter: snapshots of a model into a run file."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from torch import nn

from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.functions import as_function
from ntkspec.arguments.roles import Roles
from ntkspec.display import counted
from ntkspec.errors import ExportError, UsageError
from ntkspec.export.arrays import ArrayLike, as_picture, as_positions, as_rows
from ntkspec.export.driver import Options, Stream, export
from ntkspec.export.prepare import ExportWarning, Precision
from ntkspec.jacobian import Block
from ntkspec.store.texts import check_label, one_level
from ntkspec.store.writer import RunWriter


@dataclass(frozen=True)
class SnapshotSummary:
    """The blocks of a snapshot that was written, and what was left out of it.

    Example:
        >>> import tempfile, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 1))
        >>> with RunExporter(tempfile.mkdtemp() + "/run.h5", inputs=torch.rand(8, 2)) as run:
        ...     run.snapshot(net, step=0).blocks
        ('0', '2')
    """

    id: str
    blocks: tuple[str, ...]
    roles: Mapping[str, str]  # block -> "grid", "network" or what was asked for
    dense: Mapping[str, str]  # parameter -> why it is dense
    left_out: Mapping[str, str]  # parameter -> "frozen" or "unused"
    notes: tuple[str, ...]
    regions: int | None  # activation regions that hold samples; None: the network is not piecewise linear, or
    # does more behind its first Linear layer than can be followed


class RunExporter:
    """Writes snapshots of one model into one run file. Use as a context manager.

    The file grows as `<path>.part` and takes its name when the exporter is left without an exception.

    Args:
        path: the run file.
        inputs: (n, d), coordinates as the model receives them; tensor or array.
        targets: (n, c), optional; (n,) is taken as (n, 1).
        indices: (n,) integers, optional: position of each sample in its data set.
        label: short display name, such as "MPE (fine)".
        config: JSON-able mapping, free form.
        roles: role of the blocks whose parameters' names begin with a prefix, as {"encoding": "grid"}.
            Default: "grid" for lookups that depend on the sample, "network" for all others.
        precision: "float64" (default), in which even models trained in single are evaluated, or "float32".
        memory: GiB that a chunk of samples may take. Default: a quarter of what is free, at most 0.25.
        overwrite: replace an existing run file, and snapshots that a killed process left in `<path>.part`.
        resume: continue an interrupted file; `snapshots` then tells what is already there. The file keeps its
            label and config, with an `ExportWarning` where others are given or the precision is another.
        progress: show on stderr what the first snapshot will take, block by block, and a progress bar.
        say: called with a line for every snapshot and every chunk of its samples.

    Example:
        >>> import tempfile, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
        >>> path = tempfile.mkdtemp() + "/run.h5"
        >>> with RunExporter(path, inputs=torch.rand(16, 2), label="baseline") as run:
        ...     run.snapshot(net, step=0, label="init").blocks
        ('0', '2')
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
        roles: Roles | None = None,
        precision: Precision = "float64",
        memory: float | None = None,
        overwrite: bool = False,
        resume: bool = False,
        progress: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._inputs = as_rows(inputs, "inputs")
        self._targets = None if targets is None else as_rows(targets, "targets")
        self._options = Options(roles, precision, memory, progress=progress)
        self._say = as_function(say, "say")
        self._arguments: dict[str, Any] = {
            "indices": None if indices is None else as_positions(indices, "indices", len(self._inputs)),
            "label": label,
            "config": copy.copy(config),
            "overwrite": overwrite,
            "resume": resume,
        }
        self._path = path
        self._stack = contextlib.ExitStack()
        self._open: RunWriter | None = None

    def __enter__(self) -> RunExporter:
        writer = RunWriter(self._path, inputs=self._inputs, targets=self._targets, **self._arguments)
        self._open = self._stack.enter_context(writer)
        try:
            for note in writer.notes:
                warnings.warn(note, ExportWarning, stacklevel=2)
        except BaseException:  # where warnings are exceptions, nobody will leave the with-block
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = None
        self._stack.__exit__(kind, error, trace)

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Return the ids of the snapshots that are complete, those of a resumed file included."""
        return self.writer.complete_snapshots

    def snapshot(
        self,
        model: nn.Module,
        *,
        step: int,
        label: str | None = None,
        metrics: Mapping[str, float] | None = None,
        id: str | None = None,
        picture: ArrayLike | None = None,
    ) -> SnapshotSummary:
        """Write the outputs and the Jacobian of `model` as it is now; the model is left untouched.

        Args:
            model: maps (n, d) to (n, c), each sample on its own.
            step: training step, 0 or more.
            label: such as "init", "mid", "end". Default: "step 100".
            metrics: numbers, such as {"psnr_db": 31.2}.
            id: name in the file. Default: the label, or label-step if that is taken; what no file can hold is
                replaced.
            picture: what the model draws, uint8 (H, W) or (H, W, 3); it is stored under the snapshot's id.

        Raises:
            ExportError: the model has no per-sample Jacobian that can be computed, or not as many outputs as
                the snapshots in the file.
        """
        step = whole_number(step, "step", 0)
        label = f"step {step}" if label is None else label
        name = self._free_id(label, step) if id is None else id
        pixels = None if picture is None else as_picture(picture, name)
        before = self.writer.read(self.snapshots[-1]).blocks[0] if self.snapshots else None

        def consume(outputs: int, bytes_a_sample: int, chunks: Stream) -> None:
            self._check_outputs(outputs, before)
            with self.writer.snapshot(name, step=step, label=label, metrics=metrics) as snapshot:
                for chunk in chunks:
                    snapshot.write(
                        chunk.start, chunk.outputs, chunk.jacobian, chunk.regions, certain=chunk.certain
                    )

        self._say(f"exporting {name}")
        options = replace(self._options, say=lambda step: self._say(f"exporting {name}: {step}"))
        done, _ = export(model, self._inputs, options, consume)
        self._options = replace(self._options, foretell=False)  # once is enough for snapshots of one model
        if pixels is not None:
            self.writer.picture(name, pixels)
        notes = done.notes + self._note_of_dtype(name, before)
        for note in notes:
            warnings.warn(f"snapshot {name!r}: {note}", ExportWarning, stacklevel=2)
        roles = {block: plan.role for plan in done.plans for block in plan.names}
        notes = done.told + notes
        return SnapshotSummary(name, tuple(roles), roles, done.dense, done.left_out, notes, done.regions)

    def picture(self, name: str, pixels: ArrayLike) -> None:
        """Store a picture: "truth", or what the snapshot of that id draws. uint8, (H, W) or (H, W, 3)."""
        self.writer.picture(name, as_picture(pixels, name))

    @property
    def writer(self) -> RunWriter:
        """Return the writer of the file; raise `UsageError` outside the with-block."""
        if self._open is None:
            raise UsageError(
                "RunExporter",
                expected="to be used inside its with-block",
                got="a use outside",
                remedy="write: with RunExporter(...) as run: run.snapshot(...)",
            )
        return self._open

    def _free_id(self, label: str, step: int) -> str:
        """Return an id that is not taken yet: the label, or the label with the step or a number behind it."""
        taken, name = self.snapshots, one_level(check_label(label, "label of the snapshot"))
        if name in ("", ".", ".."):
            name = "snapshot"
        candidates = [name, f"{name}-{step}", *(f"{name}-{step}-{k}" for k in range(2, len(taken) + 3))]
        return next(candidate for candidate in candidates if candidate not in taken)

    def _check_outputs(self, outputs: int, before: Block | None) -> None:
        """Raise `ExportError` unless targets and a block of an earlier snapshot have as many outputs."""
        if self._targets is not None and self._targets.shape[1] != outputs:
            raise ExportError(
                "targets",
                expected=f"one column for each of the model's {outputs} outputs",
                got=f"shape {self._targets.shape}",
            )
        if before is not None and before.outputs != outputs:
            raise ExportError(
                "model",
                expected=f"{counted(output=before.outputs)}, as in the snapshots of this file",
                got=f"{outputs}",
                remedy="write another model into another file",
            )

    def _note_of_dtype(self, id: str, before: Block | None) -> tuple[str, ...]:
        """Return a note if a snapshot is stored in another precision than the one before it."""
        now = self.writer.read(id).blocks[0].dtype
        if before is None or now == before.dtype:
            return ()
        return (f"stored as {now}, though the snapshots before it are {before.dtype}",)
