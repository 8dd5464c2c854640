"""A callback of Lightning that records a model while it trains. Needs `lightning` or `pytorch_lightning`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from ntkspec.errors import NotInstalledError
from ntkspec.export.arrays import ArrayLike
from ntkspec.export.recorder import Recorder
from ntkspec.export.schedule import Every

PACKAGES = ("lightning.pytorch", "pytorch_lightning")  # the same classes under two names, which do not mix


def _base() -> Any:
    """Return the class of callbacks of the package that is imported, else of one that is installed."""
    for package in PACKAGES:
        if sys.modules.get(package):
            return sys.modules[package].Callback
    for package in PACKAGES:
        if importlib.util.find_spec(package.partition(".")[0]):
            return importlib.import_module(package).Callback
    raise NotInstalledError(
        __name__,
        expected="the package lightning or pytorch_lightning",
        got="neither of them",
        remedy="run: pip install lightning",
    )


def _itself(module: nn.Module) -> nn.Module:
    return module


class RecorderCallback(_base()):  # type: ignore[misc]  # either package's, so it has no type
    """Records a run file while Lightning's Trainer fits a model, as one of the trainer's callbacks.

    Snapshots are those of a `Recorder`: one before the first step, one at every due global step of the
    trainer, and one at the end, with the label "end". The metrics of each are the numbers among the trainer's
    callback metrics. Where several processes train one model, the first of them records it.

    Args:
        path: the run file.
        inputs: (n, d), coordinates as the model receives them; tensor or array.
        every: a number of optimizer steps, or the steps themselves.
        model: which model to record, as a function of the LightningModule, such as
            `lambda module: module.field`. Default: the LightningModule itself.
        options: as for `Recorder`. For its argument log, a logger's method log_metrics will do.

    Raises:
        NotInstalledError: when `ntkspec.export.lightning` is imported, and neither package is installed.

    Example:
        >>> import tempfile, torch
        >>> callback = RecorderCallback(tempfile.mkdtemp() + "/run.h5", torch.rand(16, 2), every=100)
        >>> callback.every  # nothing is written before a Trainer calls it
        100
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        inputs: ArrayLike,
        every: Every,
        *,
        model: Callable[[Any], nn.Module] = _itself,
        **options: Any,
    ) -> None:
        super().__init__()
        self.path, self.inputs, self.every, self.options = path, inputs, every, options
        self._model = model
        self._record: Recorder | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Become the last of the trainer's callbacks, after those that average weights at the end."""
        trainer.callbacks = [*(callback for callback in trainer.callbacks if callback is not self), self]

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the run file in the first process, and record the model as it starts."""
        if trainer.is_global_zero:
            self._record = Recorder(self.path, self.inputs, self.every, **self.options)
            self._call(trainer, pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *batch: Any) -> None:
        """Record the model if a snapshot is due."""
        if self._record is not None and self._record.due(trainer.global_step):
            self._call(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the model where it was trained, after all other callbacks, and finish the file.

        Lightning calls the module's own `on_train_end` later. The next hook of callbacks is called when
        the model has left its device.
        """
        if self._record is not None:
            self._call(trainer, pl_module, "end")
            self._record.close()
            self._record = None

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Keep the snapshots that are complete."""
        if self._record is not None:
            self._record.close(interrupted=True)
            self._record = None

    def _call(self, trainer: Any, pl_module: Any, label: str | None = None) -> None:
        assert self._record is not None
        metrics = trainer.callback_metrics
        self._record(self._model(pl_module), trainer.global_step, label=label, metrics=metrics)
