"""Rows of a Jacobian with few nonzero numbers, in torch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
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

    def at(self, sample: int) -> SparseRows:
        """Return the row of one sample."""
        one = slice(sample, sample + 1)
        return SparseRows(self.indices[one], self.values[one], self.columns)

    def widened(self, entries: int) -> SparseRows:
        """Return the rows padded to `entries` entries a sample; wider ones are returned as they are."""
        more = entries - self.indices.shape[1]
        if more <= 0:
            return self
        indices = torch.nn.functional.pad(self.indices, (0, more), value=-1)
        return SparseRows(indices, torch.nn.functional.pad(self.values, (0, more)), self.columns)


def padded(owner: Tensor, index: Tensor, values: Tensor, samples: int, columns: int) -> SparseRows:
    """Build rows from entries in any order: their samples `owner` (m,), `index` (m,) and `values` (m, c)."""
    order, places, width = places_of(owner, samples)
    indices = index.new_full((samples, width), -1, dtype=torch.long)
    indices[places] = index[order].long()
    filled = values.new_zeros(samples, width, values.shape[1])
    filled[places] = values[order]
    return SparseRows(indices, filled.movedim(2, 1).contiguous(), columns)


def places_of(owner: Tensor, samples: int) -> tuple[Tensor, tuple[Tensor, Tensor], int]:
    """Sort entries by sample, and number those of each sample from 0.

    Args:
        owner: (m,) the sample of each entry.
        samples: how many there are.

    Returns:
        The order (m,) that sorts the entries; sample and number of each sorted entry, both (m,); and the
        largest count of entries in one sample, at least 1.
    """
    order = owner.argsort(stable=True)
    owner = owner[order]
    counts = torch.bincount(owner, minlength=samples)
    place = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    return order, (owner, place), max(int(counts.max()) if samples else 0, 1)
