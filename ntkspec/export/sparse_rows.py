"""Rows of a Jacobian with few nonzero numbers, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseRows:
    """Sparse rows: for every sample k indices, and k values of every output; index -1 is padding."""

    indices: Tensor  # (n, k) int64
    values: Tensor  # (n, c, k)
    columns: int

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sample (m,), index (m,) and values (m, c) of all entries that are not padding."""
        kept = self.indices >= 0
        samples = torch.arange(len(self.indices), device=kept.device)[:, None].expand(kept.shape)
        return samples[kept], self.indices[kept], self.values.movedim(1, 2)[kept]

    def widened(self, entries: int) -> SparseRows:
        """Return the rows padded to `entries` entries a sample; wider ones are returned as they are."""
        more = entries - self.indices.shape[1]
        if more <= 0:
            return self
        indices = torch.nn.functional.pad(self.indices, (0, more), value=-1)
        return SparseRows(indices, torch.nn.functional.pad(self.values, (0, more)), self.columns)


def padded(owner: Tensor, index: Tensor, values: Tensor, samples: int, columns: int) -> SparseRows:
    """Build rows from entries in any order: owner (m,), index (m,), values (m, c)."""
    order, places, width = places_of(owner, samples)
    indices = index.new_full((samples, width), -1, dtype=torch.long)
    indices[places] = index[order].long()
    filled = values.new_zeros(samples, width, values.shape[1])
    filled[places] = values[order]
    return SparseRows(indices, filled.movedim(2, 1).contiguous(), columns)


def places_of(owner: Tensor, samples: int) -> tuple[Tensor, tuple[Tensor, Tensor], int]:
    """Place the entries of each sample side by side.

    Returns an order of the entries, the (sample, place) of each in that order, and the most places of a
    sample.
    """
    order = owner.argsort(stable=True)
    owner = owner[order]
    counts = torch.bincount(owner, minlength=samples)
    place = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    return order, (owner, place), max(int(counts.max()) if samples else 0, 1)
