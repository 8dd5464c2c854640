"""Train many networks of one shape at once: one config, and a picture for each.

All members start from the same weights, have the same fixed encoding and see the same pixels at every step,
as `ntkspec.nets.training.train` would give each of them alone with that config. So the fixed encoding and the
grids' cells and weights are computed once for all, and the layers are batched matrix products.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.population"):
    import torch
    from torch import Tensor, nn

from ntkspec.errors import UsageError
from ntkspec.nets.build import build_model
from ntkspec.nets.config import TrainConfig
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.image import ImageTask
from ntkspec.nets.lookup import TableLookup
from ntkspec.nets.mlp import CoordinateNetwork
from ntkspec.nets.steps import draw_batch, make_optimizer, take_steps
from ntkspec.nets.training import (
    LossCurve,
    Training,
    TrainingSnapshot,
    deterministic,
    evaluate,
    snapshot_labels,
    within_memory,
)


class Population(nn.Module):
    """A batch of P copies of a network that learn independently: (n, d) -> (P, n, c).

    The tables of a multigrid stand side by side in one table with P F features to a row.

    Args:
        network: whose weights all members start from; it is left untouched.
        size: P.
    """

    def __init__(self, network: CoordinateNetwork, size: int) -> None:
        super().__init__()
        self.size = size
        self.encoding = copy.deepcopy(network.encoding)
        for level in self._levels():
            level.table = nn.Parameter(level.table.detach().repeat(1, size))
        self.mlp = nn.Sequential(
            OrderedDict(
                (name, _BatchedLinear(layer, size) if isinstance(layer, nn.Linear) else layer)
                for name, layer in network.mlp.named_children()
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (P, n, c) of all members at the coordinates x (n, d)."""
        outputs: Tensor = self.mlp(self._encode(x))
        return outputs

    def member(self, index: int) -> dict[str, Tensor]:
        """Return the state_dict of one member, copied to the CPU, as `build_model`'s network loads it."""
        state = self.encoding.state_dict(prefix="encoding.")
        for name, tensor in state.items():
            if name.endswith(".table"):
                state[name] = tensor.chunk(self.size, dim=1)[index]
        for name, layer in self.mlp.named_children():
            if isinstance(layer, _BatchedLinear):
                state[f"mlp.{name}.weight"] = layer.weight[index]
                state[f"mlp.{name}.bias"] = layer.bias[index, 0]
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in state.items()}

    def _levels(self) -> list[TableLookup]:
        return [module for module in self.encoding.modules() if isinstance(module, TableLookup)]

    def _encode(self, x: Tensor) -> Tensor:
        """Return the encoding (n, width) if it is the same for all members, else (P, n, width)."""
        if not isinstance(self.encoding, Multigrid):
            encoded: Tensor = self.encoding(x)
            return encoded
        apart = [level(x).view(len(x), self.size, -1) for level in self._levels()]
        return torch.cat([*apart, x[:, None].expand(-1, self.size, -1)], dim=2).transpose(0, 1)


class _BatchedLinear(nn.Module):
    """A batch of P linear layers: (P, n, in) -> (P, n, out); an input (n, in) is shared by all of them."""

    def __init__(self, layer: nn.Linear, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(layer.weight.detach().repeat(size, 1, 1))  # (P, out, in)
        self.bias = nn.Parameter(layer.bias.detach().repeat(size, 1, 1))  # (P, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            x = x.expand(len(self.weight), *x.shape)
        return torch.baddbmm(self.bias, x, self.weight.transpose(1, 2))


def train_population(
    config: TrainConfig,
    tasks: Sequence[ImageTask],
    *,
    kept: Collection[str] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Training, ...]:
    """Train the network of `config` on each picture, all at once.

    Args:
        config: what to train; its number of outputs must be the channels of every picture.
        tasks: pictures of one size, with the same pixels held out.
        kept: labels of the snapshots to take; default: all.
        device: where data, networks and metrics are; see `ntkspec.nets.devices.find_device`.

    Returns:
        One `Training` for each picture. Up to rounding it equals what `ntkspec.nets.training.train` returns,
        but its seconds are those of the whole training, divided by the number of pictures.

    Raises:
        UsageError: pictures of different sizes or channels, or with different pixels held out.
        TrainingError: a member's loss is no longer finite, or a device is full.
    """
    _check(config, tasks)
    device = torch.device(device)
    network = build_model(config).to(device)
    population = Population(network, len(tasks))
    optimizer = make_optimizer(population, config)
    generator = torch.Generator().manual_seed(config.seed)
    x, y = (rows.to(device) for rows in _learnt(tasks))
    labels = snapshot_labels(config, kept)
    snapshots: list[list[TrainingSnapshot]] = [[] for _ in tasks]

    def step() -> Tensor:
        return _step(population, optimizer, *draw_batch(x, y, config.batch, generator))

    def keep(step: int) -> None:
        for index, task in enumerate(tasks):
            network.load_state_dict(population.member(index))
            snapshots[index].append(evaluate(network, task, labels[step], step))

    with deterministic(), within_memory():
        losses, seconds = take_steps(config, labels, step, keep)
    share = seconds / len(tasks)
    return tuple(
        Training(config, tuple(member), LossCurve.from_losses(of_member), share, str(device))
        for member, of_member in zip(snapshots, losses.T, strict=True)
    )


def _learnt(tasks: Sequence[ImageTask]) -> tuple[Tensor, Tensor]:
    """Return the coordinates (m, 2) of the pixels that are learnt, and their values (m, P, c)."""
    rows = tasks[0].learnt
    values = [torch.from_numpy(task.values[rows]) for task in tasks]
    return torch.from_numpy(tasks[0].coordinates[rows]), torch.stack(values, dim=1)


def _step(population: nn.Module, optimizer: torch.optim.Adam, x: Tensor, y: Tensor) -> Tensor:
    """Take one step of Adam and return the members' losses (P,) before it.

    Adam updates each number separately, so members do not influence each other.
    """
    optimizer.zero_grad(set_to_none=True)
    losses: Tensor = ((population(x) - y.transpose(0, 1)) ** 2).mean(dim=(1, 2))
    losses.sum().backward()  # type: ignore[no-untyped-call]  # untyped in torch
    optimizer.step()
    return losses.detach()


def _check(config: TrainConfig, tasks: Sequence[ImageTask]) -> None:
    if not tasks:
        raise UsageError("population", expected="one or more pictures", got="none")
    shapes = {task.values.shape for task in tasks}
    if len(shapes) > 1 or tasks[0].channels != config.outputs:
        got = ", ".join(f"{task.side} x {task.side} x {task.channels}" for task in tasks[:4])
        raise UsageError(
            "population",
            expected=f"pictures of one size and {config.outputs} channels",
            got=got,
            remedy="load them with the same side, grey or not",
        )
    if any(not np.array_equal(task.held_out, tasks[0].held_out) for task in tasks):
        raise UsageError(
            "population",
            expected="pictures of which the same pixels are held out",
            got="different ones",
            remedy="load them with the same share held out",
        )
