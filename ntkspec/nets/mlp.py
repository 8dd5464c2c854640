"""Multilayer perceptrons, alone and behind an encoding."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.mlp"):
    import torch
    from torch import Tensor, nn

Activation = Literal["relu", "silu", "gelu", "tanh", "sine"]


class Sine(nn.Module):
    """The activation sin(omega x) of a SIREN (Sitzmann et al. 2020).

    Args:
        omega: the paper's omega_0.
    """

    def __init__(self, omega: float = 30.0) -> None:
        super().__init__()
        self.omega = omega

    def forward(self, x: Tensor) -> Tensor:
        """Apply to x of any shape."""
        return torch.sin(self.omega * x)


class MLP(nn.Sequential):
    """A chain of `depth` hidden Linear layers of `width`, an activation after each, and a linear output.

    Layers are called hidden_1, activation_1, ..., output; every one is used once. Sine layers are initialised
    as in Sitzmann et al. 2020, section 3.2, all others as torch does it.

    Args:
        width_in: width of the input.
        depth: hidden layers, at least 1.
        width: their width.
        outputs: c.
        activation: "relu", "silu", "gelu", "tanh" or "sine".
        omega: frequency of "sine"; the others ignore it.
    """

    def __init__(
        self,
        width_in: int,
        depth: int,
        width: int,
        outputs: int,
        activation: Activation = "relu",
        omega: float = 30.0,
    ) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for layer in range(1, depth + 1):
            layers[f"hidden_{layer}"] = nn.Linear(width_in if layer == 1 else width, width)
            layers[f"activation_{layer}"] = _activation(activation, omega)
        layers["output"] = nn.Linear(width, outputs)
        super().__init__(layers)
        if activation == "sine":
            _initialise_sine([m for m in self if isinstance(m, nn.Linear)], omega)


class CoordinateNetwork(nn.Module):
    """An encoding followed by an MLP: (n, d) -> (n, c).

    Args:
        encoding: module (n, d) -> (n, width).
        mlp: module (n, width) -> (n, c).
    """

    def __init__(self, encoding: nn.Module, mlp: nn.Module) -> None:
        super().__init__()
        self.encoding = encoding
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs (n, c) at the coordinates x (n, d)."""
        outputs: Tensor = self.mlp(self.encoding(x))
        return outputs


def _activation(name: Activation, omega: float) -> nn.Module:
    if name == "sine":
        return Sine(omega)
    plain: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU, "gelu": nn.GELU, "tanh": nn.Tanh}
    return plain[name]()


def _initialise_sine(layers: list[nn.Linear], omega: float) -> None:
    for i, layer in enumerate(layers):
        bound = 1 / layer.in_features if i == 0 else math.sqrt(6 / layer.in_features) / omega
        nn.init.uniform_(layer.weight, -bound, bound)
