"""Build the network that a config describes."""

from __future__ import annotations

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.build"):
    import torch
    from torch import nn

from ntkspec.nets.config import TrainConfig
from ntkspec.nets.encodings import AxisFourier, GaussianFourier, Identity
from ntkspec.nets.grid import Multigrid
from ntkspec.nets.mlp import MLP, CoordinateNetwork


def build_model(config: TrainConfig) -> CoordinateNetwork:
    """Build the untrained network (n, inputs) -> (n, outputs), in float32 on the CPU.

    The seed of the config decides its weights.

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
    """Build the encoding alone; its random numbers are those of torch's global generator."""
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
