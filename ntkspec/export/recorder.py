"""Recorder: snapshots of a model while it trains, into a run file."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from ntkspec._io import first_line
from ntkspec.arguments.counts import whole_number
from ntkspec.arguments.functions import as_function
from ntkspec.arguments.roles import Roles
from ntkspec.display import counted, format_seconds
from ntkspec.errors import UsageError
from ntkspec.export.arrays import ArrayLike, as_rows
from ntkspec.export.driver import forecast
from ntkspec.export.exporter import RunExporter
from ntkspec.export.foretold import Forecast
from ntkspec.export.logged import Log, cost_of_log, finite, kernel_numbers, numbers_by_name, to_compare_with
from ntkspec.export.notes import Notes
from ntkspec.export.prepare import ExportWarning, Precision
from ntkspec.export.schedule import Every, Schedule
from ntkspec.machine.signals import interruption_of
from ntkspec.spectral.distance import Reference
from ntkspec.store.texts import check_label

Metrics = Mapping[str, float | Tensor]
BEFORE = -1  # a step before all others


class Recorder:
    """Writes snapshots of a model into a run file while it trains. Use as a context manager, or call `close`.

    Call it at every step: it writes a snapshot if one is due, and otherwise does nothing. The first call is
    always recorded. The model, its gradients and the global generators of random numbers are left untouched.

    If the training raises an exception, Ctrl-C included, the file gets its name nevertheless, with the
    snapshots that are complete; `ntkspec.Run.warnings` then say that it was interrupted. A process that is
    killed leaves them in `<path>.part`, which can be analysed as it is.

    If the first snapshot cannot be recorded, there is an exception. If a later one cannot, there is an
    `ExportWarning` and the training goes on; `warnings.simplefilter("error", ExportWarning)` makes that an
    exception, too.

    Args:
        path: the run file.
        inputs: (n, d), coordinates as the model receives them; tensor or array.
        every: a number of steps, or the steps at which snapshots are due, such as
            `numpy.geomspace(1, 10_000, 20).astype(int)`. A due step that is left out is made up for at the
            next call.
        targets: (n, c), optional; (n,) is taken as (n, 1).
        indices, label, config, roles, precision, memory: as for `RunExporter`; `memory` limits a chunk alone.
        log: called after every snapshot with numbers of its kernel by name and the step, as `wandb.log` takes
            them: ntk/lambda_max, ntk/lambda_min (or, where that is not resolved, an upper bound,
            ntk/lambda_min_at_most), ntk/resolved, ntk/effective_rank, ntk/kernel_distance from the first
            snapshot, and ntk/seconds, which the snapshot took. They cost memory and time beside the snapshot.
        say: called with a line before the first snapshot, on sizes and time, and with one after each, as
            `print` takes it.
        overwrite: replace an existing run file at the end, and the `<path>.part` of a killed training at
            once.
        resume: continue the file of an interrupted training, if there is one. Its snapshots are kept, and
            steps up to the last of them are not recorded again. So are its label and its config, with an
            `ExportWarning` where others are given. The model must have as many outputs as before.

    Raises:
        OutputError: the file exists, `<path>.part` has snapshots, or the file cannot be written.
        UsageError: an argument that cannot work.
        ExportError: inputs or targets that are no finite numbers.

    Example:
        >>> import tempfile, torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
        >>> x = torch.rand(16, 2)
        >>> optimizer = torch.optim.Adam(net.parameters())
        >>> with Recorder(tempfile.mkdtemp() + "/run.h5", x, every=10) as record:
        ...     for step in range(25):
        ...         _ = record(net, step)  # the model after `step` updates
        ...         optimizer.zero_grad()
        ...         net(x).square().mean().backward()
        ...         _ = optimizer.step()
        ...     _ = record(net, 25, label="end")
        ...     record.snapshots
        ('init', 'step 10', 'step 20', 'end')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        inputs: ArrayLike,
        every: Every,
        *,
        targets: ArrayLike | None = None,
        indices: ArrayLike | None = None,
        label: str = "",
        config: Mapping[str, Any] | None = None,
        roles: Roles | None = None,
        precision: Precision = "float64",
        memory: float | None = None,
        log: Log | None = None,
        say: Callable[[str], None] = lambda _: None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> None:
        self._schedule = Schedule.of(every)
        self._inputs = as_rows(inputs, "inputs")
        self._how: dict[str, Any] = {"roles": roles, "precision": precision, "memory": memory}
        self._log = None if log is None else as_function(log, "log")
        self._say = as_function(say, "say")
        self._exporter = RunExporter(
            path,
            inputs=self._inputs,
            targets=targets,
            indices=indices,
            label=label,
            config=config,
            overwrite=overwrite,
            resume=resume,
            **self._how,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExportWarning)  # they are noted below
            self._writer = self._exporter.__enter__().writer
        self._closed: tuple[str, ...] | None = None  # the snapshots once it is being closed
        self._finished = False
        self._forecast: Forecast | None = None
        self._last = BEFORE  # the last step that was due
        self._logged: set[str] = set()  # snapshots whose numbers were logged
        self._begun = False  # whether the first snapshot is recorded, so that exceptions become warnings
        self._seen = BEFORE  # the step of the last call, or the last one of a resumed file
        self._notes = Notes()
        try:
            if self.snapshots:
                self._last = self._seen = self._writer.read(self.snapshots[-1]).step
            for note in self._writer.notes:
                warnings.warn(note, ExportWarning, stacklevel=2)
        except BaseException:  # where warnings are exceptions, nobody will close it
            self.close(interrupted=True)
            raise

    @property
    def snapshots(self) -> tuple[str, ...]:
        """Return the ids of the snapshots that are complete, in order of step; also of a closed recorder."""
        return self._writer.complete_snapshots if self._closed is None else self._closed

    def __repr__(self) -> str:
        state = "" if self._closed is None else ", closed"
        return f"Recorder({str(self._writer.path)!r}, {counted(snapshot=len(self.snapshots))}{state})"

    @property
    def forecast(self) -> Forecast | None:
        """Return sizes, memory and time of one snapshot, estimated before the first one; None until then.

        The time of `log` is not in it: it depends on how many eigenvalues the first solver resolves.
        """
        return self._forecast

    def __call__(
        self, model: nn.Module, step: int, *, label: str | None = None, metrics: Metrics | None = None
    ) -> bool:
        """Record the model as it is now if a snapshot is due at this step.

        Args:
            model: maps (n, d) to (n, c), each sample on its own.
            step: how many training steps the model has had, counted through all epochs.
            label: such as "end"; a call with a label is recorded whatever the step. If a snapshot of this
                step already holds the same outputs and the same Jacobian, it gets the label, and there is no
                second one. None or "": "init" at step 0, then "step 100" and so on.
            metrics: numbers to store with the snapshot, such as {"loss": loss}. They are read only if it is
                due; what is no finite number is left out with a warning. An infinite psnr_db is stored as
                psnr_db_infinite = 1; psnr_db_learnt and psnr_db_held_out likewise.

        Returns:
            Whether the model was recorded.

        Raises:
            UsageError: the step, the label or the metrics are of a wrong type, or the recorder is closed.
            Exception: the first snapshot cannot be recorded or logged; for later ones this is a warning.
        """
        step, metrics = whole_number(step, "step", 0), numbers_by_name(metrics)
        label = None if label is None else check_label(label, "label") or None
        due = self.due(step)
        if step < self._seen:
            self._notes.add(
                f"a call of step {step} came after one of step {self._seen}, and none up to {self._last} is "
                "recorded again; count steps through all epochs"
            )
        self._seen = step
        recorded = (label is not None or due) and self._record(model, step, label, metrics)
        for note in self._notes.take():
            warnings.warn(note, ExportWarning, stacklevel=2)
        return recorded

    def due(self, step: int) -> bool:
        """Return whether a call at this step would be recorded, for what should be computed only then.

        Raises:
            UsageError: the step is no whole number, or the recorder is closed.

        Example:
            >>> import tempfile
            >>> record = Recorder(tempfile.mkdtemp() + "/run.h5", [[0.0], [1.0]], every=100)
            >>> _ = record(nn.Linear(1, 1), 0)
            >>> record.due(99), record.due(100)
            (False, True)
            >>> record.close()
        """
        step = whole_number(step, "step", 0)
        if self._closed is not None:
            raise UsageError(
                "Recorder",
                expected="to be used before it is closed",
                got="a use after that",
                remedy="record inside the with-block, or before close()",
            )
        return self._last == BEFORE or self._schedule.due(step, self._last)

    def _record(self, model: nn.Module, step: int, label: str | None, metrics: Metrics) -> bool:
        """Record the model, with its numbers for the log; return whether its snapshot is in the file."""
        line, failed = "", "it was not recorded"
        try:
            if self._forecast is None:
                self._foretell(model, step)
            start = time.perf_counter()
            id = self._write(model, step, label, metrics)
            line, failed = f"step {step} recorded", "it stays beside one of the same numbers"
            id = self._writer.merge(id) or id  # of another one, which gets its label
            written, failed = time.perf_counter(), "its numbers were not logged"
            line += f" in {format_seconds(written - start)}"
            if self._log is not None and id not in self._logged:
                values = kernel_numbers(self._writer.read(id), self._first)
                self._log({**values, "ntk/seconds": time.perf_counter() - start}, step)
                self._logged.add(id)
                line += f", and {format_seconds(time.perf_counter() - written)} more for log="
        except Exception as error:
            if (interrupt := interruption_of(error)) is not None:
                raise interrupt from None
            if not self._begun:
                raise
            self._notes.add(f"step {step}: {failed}: {first_line(error)}")
        self._begun, self._last = True, max(self._last, step)
        if line:
            self._say(line)
        return bool(line)

    def _write(self, model: nn.Module, step: int, label: str | None, metrics: Metrics) -> str:
        """Write a snapshot and return its id."""
        numbers, notes = finite(metrics)
        label = "init" if label is None and step == 0 else label
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExportWarning)  # they are noted below
            written = self._exporter.snapshot(model, step=step, label=label, metrics=numbers)
        self._notes.add(*notes, *written.notes)
        return written.id

    @cached_property
    def _first(self) -> Reference:
        return to_compare_with(self._writer.read(self.snapshots[0]))

    def _foretell(self, model: nn.Module, step: int) -> None:
        """Estimate sizes and time, say them, and note it if the disk lacks room for what is known to come."""
        self._forecast = forecast(model, self._inputs, **self._how)
        count, path = self._schedule.count(step), self._writer.path
        beside = "" if self._log is None else f"; {cost_of_log(len(self._inputs))}"
        self._say(f"{path.name}: {self._forecast.of_file(count)}{beside}")
        self._notes.add(self._forecast.lacking_room(path, count or 1))

    def close(self, *, interrupted: bool = False) -> None:
        """Finish the file, which gets its name; without any snapshot there is none. Later calls do nothing.

        After an `OutputError` it can be called again, for instance once there is room on the disk.

        Args:
            interrupted: mark the file as that of a training that was interrupted, so that its readers warn
                and `resume` continues it.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._finished:
            return
        writer, self._closed = self._writer, self.snapshots
        if self._closed:
            writer.finish(interrupted=interrupted)
        else:
            writer.abandon()
        self._finished = True
        if not self._closed and not interrupted:
            warnings.warn(f"nothing was recorded: there is no {writer.path}", ExportWarning, stacklevel=2)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(interrupted=kind is not None)
