"""Two networks, with numbers at small n and with sizes alone at any n."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec.jacobian import Block, Factor, Jacobian, SparseFactor

SETTINGS: Mapping[str, Mapping[str, Any]] = {  # of `ntkspec.nets.presets.resolve`
    "mlp": {"width": 256, "outputs": 1},
    "multigrid": {"preset": "mpe-fine", "outputs": 1},
    "narrow": {"width": 64, "outputs": 1},
    "small": {"width": 24, "depth": 2, "outputs": 1},
}
TITLES = {
    "mlp": "MLP 2-256-256-256-1, as initialised",
    "multigrid": "fine multigrid (preset mpe-fine, one output), as initialised",
    "narrow": "MLP 2-64-64-64-1, as initialised",
    "small": "MLP 2-24-24-1, as initialised",
}


def in_memory(network: str, n: int) -> Jacobian:
    """Export the network's Jacobian, from seed 0, at n random points of the unit square."""
    import torch

    from ntkspec.export import jacobian
    from ntkspec.nets.build import build_model
    from ntkspec.nets.presets import resolve

    points = torch.rand(n, 2, generator=torch.Generator().manual_seed(0)).double()
    return jacobian(build_model(resolve(SETTINGS[network])).double(), points)


@dataclass(frozen=True)
class Lookups:
    """Indices (n, k) of a sparse factor that take no memory: entry number i looks up node i, or the last one.

    So as many nodes are touched as n samples can touch.

    Example:
        >>> Lookups((3, 2), np.dtype(np.int32), 5)[1:].tolist()
        [[2, 3], [4, 4]]
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    columns: int

    @property
    def nbytes(self) -> int:
        """Bytes that they would take."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        start, stop, _ = rows.indices(self.shape[0])
        return self.take(np.arange(start, stop))

    def take(self, samples: Any, axis: Any = 0) -> NDArray[Any]:
        """Return the indices of these samples."""
        entries = self.shape[1]
        numbers = np.asarray(samples)[:, None] * entries + np.arange(entries)
        return np.minimum(numbers, self.columns - 1).astype(self.dtype)


def planned(jacobian: Jacobian, n: int) -> Jacobian:
    """Return a Jacobian of n samples that has the sizes of this one's and takes no memory.

    Plans ask sizes, and which nodes are touched; other numbers are those of the first sample.

    Example:
        >>> from ntkspec.jacobian import DenseFactor
        >>> rows = DenseFactor(np.ones((5, 1, 3)))
        >>> planned(Jacobian((Block("theta", "network", 5, 1, None, rows),)), 10**7).nbytes
        240000000
    """
    return Jacobian(tuple(_planned(block) for block in jacobian.sized(n)))


def _planned(block: Block) -> Block:
    left, right = (_planned_factor(factor) for factor in block.factors)
    return replace(block, left=left, right=right)


def _planned_factor(factor: Factor) -> Factor:
    if not isinstance(factor, SparseFactor):
        return factor
    indices = Lookups((factor.samples, factor.entries), factor.indices.dtype, factor.columns)
    return replace(factor, indices=indices)
