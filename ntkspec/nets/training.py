"""Train a coordinate network on a task with Adam, to the same bits on one machine and device."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.training"):
    import torch
    from torch import Tensor, nn

from ntkspec._io import first_line
from ntkspec.arguments.functions import as_function
from ntkspec.errors import TrainingError, UsageError
from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.devices import full_float32
from ntkspec.nets.steps import LOSS_EVERY, diverged, draw_batch, make_optimizer, take_steps
from ntkspec.nets.task import Loss, Picture, Predict, Task

PREDICT_ROWS = 2**16  # rows evaluated at a time
CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # the variable by which cuBLAS is told to add up in one order
CUBLAS_ORDERED = (":4096:8", ":16:8")  # the values for that, on which some versions of PyTorch insist

LOSSES: dict[Loss, Callable[[Tensor, Tensor], Tensor]] = {  # of outputs and values, both (n, c): their mean
    "squared error": nn.functional.mse_loss,
    "cross-entropy": nn.functional.binary_cross_entropy_with_logits,
}


@dataclass(frozen=True, eq=False)
class LossCurve:
    """The loss of the batch at every tenth step, before that step."""

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]

    @classmethod
    def from_losses(cls, losses: NDArray[np.float32]) -> LossCurve:
        """Return the curve of the losses (k,) at every tenth step."""
        return cls(LOSS_EVERY * np.arange(len(losses)), losses.astype(np.float64))


@dataclass(frozen=True, eq=False)
class TrainingSnapshot:
    """The network at one step."""

    label: str  # "init", "mid", "end" or "step-<number>"
    step: int
    metrics: dict[str, float]  # "loss" (over all rows that are learnt, in double), and those of `Task.judge`
    state: dict[str, Tensor]  # state_dict, its own copy on the CPU
    picture: Picture | None  # what the network draws, if there is anything to see


@dataclass(frozen=True)
class Training:
    """A finished training run."""

    config: TrainConfig
    snapshots: tuple[TrainingSnapshot, ...]
    curve: LossCurve
    seconds: float  # of training, evaluation at the checkpoints apart
    device: str = "cpu"  # where it was trained

    def model(self, snapshot: TrainingSnapshot) -> nn.Module:
        """Return a network in the state of `snapshot`, on the device of the training."""
        model = build_model(self.config)
        model.load_state_dict(snapshot.state)
        return model.to(self.device)


def train(
    config: TrainConfig,
    task: Task,
    *,
    kept: Collection[str] | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
    say: Callable[[str], None] = lambda _: None,
    on_snapshot: Callable[[TrainingSnapshot], None] | None = None,
) -> Training:
    """Train the network of `config` on `task`.

    A batch is `config.batch` rows drawn with replacement, or all of them once there are no more than that.
    The same config, task, machine and device give the same bits for any state of torch's global generator. On
    another device the initial weights and the batches are the same, but rounding differs, and the difference
    grows with every step.

    Args:
        config: what to train; its numbers of inputs and outputs must be the task's.
        task: the picture or the mesh.
        kept: labels of the snapshots to take; default: all.
        device: where data, network and metrics are; see `ntkspec.nets.devices.find_device`.
        progress: draw a bar on stderr, if that is a terminal.
        say: called with a line for every tenth step and every snapshot.
        on_snapshot: called with every snapshot as soon as it is taken.

    Raises:
        UsageError: the task has other numbers of inputs or outputs than the config.
        TrainingError: the loss is no longer finite, or a device is full.
    """
    _require_fitting(config, task)
    say, tell = as_function(say, "say"), as_function(on_snapshot, "on_snapshot")
    device = torch.device(device)
    model = build_model(config).to(device)
    optimizer = make_optimizer(model, config)
    generator = torch.Generator().manual_seed(config.seed)
    x, y = (torch.from_numpy(rows[task.learnt]).to(device) for rows in (task.coordinates, task.values))
    labels, loss = snapshot_labels(config, kept), LOSSES[task.loss]
    snapshots: list[TrainingSnapshot] = []

    def step() -> Tensor:
        return _step(model, optimizer, loss, *draw_batch(x, y, config.batch, generator))

    def keep(step: int) -> None:
        say(f"snapshot {labels[step]}: metrics and picture")
        snapshots.append(evaluate(model, task, labels[step], step))
        tell(snapshots[-1])

    with deterministic(), within_memory(), _progress_bar(config, progress, say) as advance:
        losses, seconds = take_steps(config, labels, step, keep, advance)
    return Training(config, tuple(snapshots), LossCurve.from_losses(losses), seconds, str(device))


def _require_fitting(config: TrainConfig, task: Task) -> None:
    """Raise `UsageError` unless a network of this config maps the task's coordinates to its values.

    PyTorch would broadcast one output against several.
    """
    wanted = task.coordinates.shape[1], task.values.shape[1]
    if (config.inputs, config.outputs) != wanted:
        raise UsageError(
            "config",
            expected=f"inputs {wanted[0]} and outputs {wanted[1]}, as the task has them",
            got=f"inputs {config.inputs} and outputs {config.outputs}",
            remedy=f"dataclasses.replace(config, inputs={wanted[0]}, outputs={wanted[1]})",
        )


def snapshot_labels(config: TrainConfig, kept: Collection[str] | None = None) -> dict[int, str]:
    """Return the steps at which snapshots are taken, and their labels, "init" and "end" first.

    Each step has one label. With `kept`, only those labels are returned.

    >>> snapshot_labels(TrainConfig(iterations=100, checkpoints=(7,)))
    {0: 'init', 100: 'end', 50: 'mid', 7: 'step-7'}
    """
    labels = {0: "init", config.iterations: "end"}
    labels.setdefault(config.iterations // 2, "mid")
    for step in config.checkpoints:
        labels.setdefault(step, f"step-{step}")
    return {step: label for step, label in labels.items() if kept is None or label in kept}


def evaluate(model: nn.Module, task: Task, label: str, step: int) -> TrainingSnapshot:
    """Take a snapshot of the network as it is, evaluated on its device.

    Raises:
        TrainingError: it draws something that is not finite.
    """
    predict = predictor(model)
    predicted = predict(task.coordinates)
    loss = _whole_loss(task, predicted)
    if not math.isfinite(loss):
        raise diverged(step, loss, "⟦--lr⟧ or ⟦--grid-lr⟧")
    metrics, picture = task.judge(predicted, predict, _device_of(model))
    state = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    return TrainingSnapshot(label, step, {"loss": loss, **metrics}, state, picture)


def predictor(model: nn.Module) -> Predict:
    """Return the network as a function of float32 arrays (n, d) -> (n, c).

    It computes without gradients, in bounded memory.
    """
    device = _device_of(model)

    def predict(x: NDArray[np.float32]) -> NDArray[np.float32]:
        parts = torch.split(torch.from_numpy(x), PREDICT_ROWS)
        with torch.inference_mode():
            return torch.cat([model(rows.to(device)).cpu() for rows in parts]).numpy()

    return predict


def _device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _whole_loss(task: Task, predicted: NDArray[np.float32]) -> float:
    """Compute the loss over all rows that are learnt, in double."""
    outputs, values = (torch.from_numpy(rows[task.learnt]).double() for rows in (predicted, task.values))
    return float(LOSSES[task.loss](outputs, values))


def _step(
    model: nn.Module,
    optimizer: torch.optim.Adam,
    criterion: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    y: Tensor,
) -> Tensor:
    """Take one step of Adam; return the batch's loss before it, still on the device."""
    optimizer.zero_grad(set_to_none=True)
    loss = criterion(model(x), y)
    loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    optimizer.step()
    return loss.detach()


@contextmanager
def deterministic() -> Iterator[None]:
    """Allow only operations that give the same bits every time, in full float32; others raise.

    The caller's settings are restored.
    """
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    cublas = os.environ.get(CUBLAS)
    with full_float32():
        try:
            if cublas not in CUBLAS_ORDERED:
                os.environ[CUBLAS] = CUBLAS_ORDERED[0]
            torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_only)
            if cublas is None:
                os.environ.pop(CUBLAS, None)
            else:
                os.environ[CUBLAS] = cublas


@contextmanager
def within_memory() -> Iterator[None]:
    """Say in one line that a device is full.

    Raises:
        TrainingError: it is.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "training",
            expected="a device with room for a step",
            got=first_line(error),
            remedy="lower ⟦--batch⟧ or ⟦--width⟧, or give ⟦--device=cpu⟧",
        ) from error


@contextmanager
def _progress_bar(
    config: TrainConfig, shown: bool, say: Callable[[str], None]
) -> Iterator[Callable[[int, NDArray[np.float32]], None]]:
    """Show a bar; yield a function to call with the number of steps done and the last loss, ()."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.2e}"),
        TimeRemainingColumn(),
    )
    console, name = Console(stderr=True), f"training {config.label or config.encoding}"
    shown = shown and console.is_terminal
    with Progress(*columns, console=console, disable=not shown, transient=True) as bar:
        task = bar.add_task(name, total=config.iterations, loss=math.nan)

        def advance(steps: int, loss: NDArray[np.float32]) -> None:
            bar.update(task, completed=steps, loss=float(loss))
            say(f"{name}: step {steps} of {config.iterations}, loss {loss:.2e}")

        yield advance
