"""The interface of an encoding that reads features from a table: a few rows and weights an input."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.nets.lookup"):
    import torch
    from torch import Tensor, nn


class TableLookup(nn.Module, ABC):
    """A module whose every output row is a weighted sum of k rows of one table.

        forward(x)[i] = sum_k weights[i, k] * table[indices[i, k]]

    Its Jacobian with respect to the table is therefore a sparse row (``indices`` and ``weights``) times the
    gradient at the features, which is how it is exported. A subclass registers the parameter ``table`` and
    defines `lookup`; it may replace `forward` with anything that computes the same numbers faster.
    """

    table: nn.Parameter  # (columns, F)

    @abstractmethod
    def lookup(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rows of the table that each input reads, and their weights.

        Args:
            x: (n, d), in the table's dtype.

        Returns:
            indices: int64 (n, k), each in [0, columns); one that occurs twice in a row counts twice.
            weights: (n, k), in the dtype of `x`.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the features (n, F) at the inputs `x` (n, d)."""
        indices, weights = self.lookup(x)
        # The gradient of index_select is faster than that of table[indices], and the same to the bit.
        rows = self.table.index_select(0, indices.flatten()).view(*indices.shape, self.table.shape[1])
        return torch.einsum("nk,nkf->nf", weights, rows)
