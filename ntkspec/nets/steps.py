"""Take the steps of a training: batches, the optimizer, and the losses that must stay finite."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.steps"):
    import torch
    from torch import Tensor, nn

from ntkspec.errors import TrainingError
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.lookup import TableLookup

LOSS_EVERY = 10  # steps between two points of the loss curve, and between two looks for NaN


def take_steps(
    config: TrainConfig,
    labels: Mapping[int, str],
    step: Callable[[], Tensor],
    keep: Callable[[int], None],
    advance: Callable[[int, NDArray[np.float32]], None] = lambda done, loss: None,
) -> tuple[NDArray[np.float32], float]:
    """Take the steps of a training, with snapshots between them.

    Args:
        config: says how many steps.
        labels: by the number of steps done when a snapshot is taken; 0 is before the first step.
        step: takes a step and returns the loss before it, () or (P,) of P networks.
        keep: takes a snapshot; called with the number of steps done.
        advance: called every tenth step, with the number of steps done and the last loss.

    Returns:
        The loss before every tenth step, (k,) or (k, P), and the seconds without those of the snapshots.

    Raises:
        TrainingError: a loss is no longer finite.
    """
    curve: list[NDArray[np.float32]] = []
    seconds = 0.0
    if 0 in labels:
        keep(0)
    for first, last in stretches(sorted({0, config.iterations, *labels}), LOSS_EVERY):
        start = time.perf_counter()
        losses = on_host([step() for _ in range(first, last)])
        check_finite(losses, first, config)
        seconds += time.perf_counter() - start
        if first % LOSS_EVERY == 0:
            curve.append(losses[0].copy())
        advance(last, losses[-1])
        if last in labels:
            keep(last)
    return np.stack(curve), seconds


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Return Adam with one learning rate for the tables of lookups and another for everything else."""
    tables = {id(module.table) for module in model.modules() if isinstance(module, TableLookup)}
    grid = [parameter for parameter in model.parameters() if id(parameter) in tables]
    network = [parameter for parameter in model.parameters() if id(parameter) not in tables]
    groups = [{"params": network, "lr": config.lr}, {"params": grid, "lr": config.grid_lr}]
    return torch.optim.Adam([group for group in groups if group["params"]])


def stretches(stops: list[int], longest: int) -> Iterator[tuple[int, int]]:
    """Return half-open ranges of steps, each at most `longest`, that end at every stop.

    They end at multiples of `longest`, too.
    """
    ends = sorted({*stops, *range(0, stops[-1], longest)})
    return pairwise(ends)


def draw_batch(x: Tensor, y: Tensor, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw rows of x and y with replacement, by a generator on the CPU; return all if there are no more."""
    if size >= len(x):
        return x, y
    rows = torch.randint(len(x), (size,), generator=generator).to(x.device)
    return x[rows], y[rows]


def on_host(losses: Sequence[Tensor]) -> NDArray[np.float32]:
    """Return the losses of several steps in one array; this waits for a device, the steps do not."""
    array: NDArray[np.float32] = torch.stack([*losses]).cpu().numpy()
    return array


def check_finite(losses: NDArray[np.float32], first: int, config: TrainConfig) -> None:
    """Raise an error if one of the losses, (k,) or (k, P), of k steps from step `first` on is not finite.

    Raises:
        TrainingError: a loss is NaN or infinite; the message has the first such step.
    """
    losses = losses.reshape(len(losses), -1).max(axis=1)
    wrong = np.flatnonzero(~np.isfinite(losses))
    if len(wrong):
        rates = f"⟦--lr⟧ (now {config.lr:g})"
        if config.encoding == "multigrid":
            rates += f" or ⟦--grid-lr⟧ (now {config.grid_lr:g})"
        raise diverged(first + int(wrong[0]), float(losses[wrong[0]]), rates)


def diverged(step: int, loss: float, rates: str) -> TrainingError:
    """Return the error of a loss that is not finite; `rates` names the options that may be too large."""
    return TrainingError(
        f"training, step {step}",
        expected="a finite loss",
        got=f"{loss}: the network diverged",
        remedy=f"lower the learning rate {rates}",
    )
