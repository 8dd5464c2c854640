"""Fixed encodings of coordinates, (n, d) -> (n, width). `ntkspec.nets.grid` has the learned ones."""

from __future__ import annotations

import math

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.encodings"):
    import torch
    from torch import Tensor, nn


class Identity(nn.Module):
    """The encoding that returns the coordinates themselves.

    Args:
        d: input dimension.
    """

    def __init__(self, d: int) -> None:
        super().__init__()
        self.width = d

    def forward(self, x: Tensor) -> Tensor:
        """Return x (n, d)."""
        return x


class GaussianFourier(nn.Module):
    """Random Fourier features: sin(2 pi B x), then cos(2 pi B x) (Tancik et al. 2020).

    Args:
        d: input dimension.
        features: m, frequencies; the width is 2 m.
        sigma: standard deviation of the entries of B, in cycles over [0, 1].
        generator: draws B; None: torch's global one.
    """

    frequencies: Tensor  # B (m, d), fixed

    def __init__(self, d: int, features: int, sigma: float, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.register_buffer("frequencies", sigma * torch.randn(features, d, generator=generator))
        self.width = 2 * features

    def forward(self, x: Tensor) -> Tensor:
        """Encode x (n, d)."""
        phases = 2 * math.pi * (x @ self.frequencies.T)
        return torch.cat([phases.sin(), phases.cos()], dim=1)


class AxisFourier(nn.Module):
    """Positional encoding: sin(2^l pi x), then cos(2^l pi x), octaves slowest (Mildenhall et al. 2020).

    Args:
        d: input dimension.
        octaves: L; the width is 2 L d.
    """

    scales: Tensor  # (L,) 2^l, which every float type holds exactly

    def __init__(self, d: int, octaves: int) -> None:
        super().__init__()
        self.register_buffer("scales", 2.0 ** torch.arange(octaves))
        self.width = 2 * octaves * d

    def forward(self, x: Tensor) -> Tensor:
        """Encode x (n, d)."""
        phases = math.pi * (self.scales[:, None] * x[:, None, :]).flatten(1)  # (n, L d)
        return torch.cat([phases.sin(), phases.cos()], dim=1)
