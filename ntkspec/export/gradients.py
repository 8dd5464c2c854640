"""Plain autograd's gradient for random cotangents, by which all blocks are checked."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from ntkspec.export.evaluation import differentiate
from ntkspec.export.forms import survey
from ntkspec.export.prepare import Prepared
from ntkspec.export.uses.reads import Read

Gradients = dict[str, Tensor | None]


def random_cotangents(outputs: Tensor) -> Tensor:
    """Draw normal cotangents of the outputs' shape, the same every time; torch's generator is unused."""
    generator = torch.Generator("cpu").manual_seed(20260101)
    v = torch.randn(outputs.shape, generator=generator, dtype=torch.float64, device="cpu")
    return v.to(device=outputs.device, dtype=outputs.dtype)


def gradients_of(
    prepared: Prepared, outputs: Tensor, v: Tensor, reads: Mapping[str, Sequence[Read]] | None = None
) -> Gradients:
    """Differentiate sum v * outputs by plain autograd.

    Args:
        prepared: the model.
        outputs: (n, c).
        v: cotangents (n, c).
        reads: for the name of a table that is used in lookups alone, all these lookups. The gradient of such
            a table is a sparse vector, computed from the gradients at the lookups; the dense one, which may
            be large, is never formed.

    Returns:
        The gradient for the name of each trainable parameter; None if the outputs do not depend on it.
    """
    tables = reads or {}
    whole = [owned for owned in prepared.trainable if owned.name not in tables]
    edges = [GradientEdge(read.node, 0) for of_table in tables.values() for read in of_table]
    at = differentiate(outputs, [*(owned.parameter for owned in whole), *edges], v)
    gradients = dict(zip([owned.name for owned in whole], at, strict=False))
    at_edges, sizes = iter(at[len(whole) :]), {owned.name: owned.size for owned in prepared.trainable}
    for name, of_table in tables.items():
        pairs = [(read, next(at_edges)) for read in of_table]
        gradients[name] = _sparse_sum(pairs, sizes[name], v.dtype)
    return gradients


def gradients_at(prepared: Prepared, outputs: Tensor, v: Tensor, tables: Collection[str]) -> Gradients:
    """Return autograd's gradients of sum v * outputs, as sparse vectors for `tables`."""
    reads = survey(outputs, [owned for owned in prepared.trainable if owned.name in tables]).reads
    gradients = gradients_of(prepared, outputs, v, reads)
    return {
        name: gradient.flatten().to_sparse()
        if gradient is not None and name in tables and not gradient.is_sparse
        else gradient
        for name, gradient in gradients.items()
    }


def _sparse_sum(reads: Sequence[tuple[Read, Tensor | None]], size: int, dtype: torch.dtype) -> Tensor | None:
    """Add up the gradient of a table of `size` numbers as one sparse vector; None if there is none."""
    terms = [read.terms(gradient) for read, gradient in reads if gradient is not None]
    if not terms:
        return None
    positions, values = (torch.cat(parts) for parts in zip(*terms, strict=True))
    return torch.sparse_coo_tensor(
        positions[None], values.to(dtype), (size,), check_invariants=False, device=values.device
    ).coalesce()
