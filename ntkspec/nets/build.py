"""From a config to the network that it describes."""

from __future__ import annotations

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.build"):
    import torch
    from torch import nn

from ntkspec.nets.config import TrainConfig
from ntkspec.nets.encodings import AxisFourier, GaussianFourier, Identity
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork

__all__ = ["build_encoding", "build_model"]


def build_model(config: TrainConfig) -> CoordinateNetwork:
    """The untrained network (n, inputs) -> (n, outputs), float32 on the CPU; the seed decides its weights.

    >>> from ntkspec.nets.config import TrainConfig
    >>> build_model(TrainConfig())(torch.zeros(5, 2)).shape
    torch.Size([5, 3])
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoding = build_encoding(config)
        width = int(encoding.width)  # type: ignore[arg-type]  # torch types any attribute as Tensor or Module
        activation, omega = config.activation, config.omega
        mlp = MLP(width, config.depth, config.width, config.outputs, activation, omega)  # type: ignore[arg-type]  # TrainConfig checks it
    return CoordinateNetwork(encoding, mlp)


def build_encoding(config: TrainConfig) -> nn.Module:
    """The encoding alone, drawn from torch's global generator."""
    d = config.inputs
    if config.encoding == "gaussian":
        return GaussianFourier(d, config.features, config.sigma)
    if config.encoding == "axis":
        return AxisFourier(d, config.octaves)
    if config.encoding == "multigrid":
        return Multigrid(
            d,
            config.levels,
            config.base,
            config.level_growth,
            config.level_features,
            config.table_size,
            config.interpolation,  # type: ignore[arg-type]  # TrainConfig checks it
        )
    return Identity(d)
