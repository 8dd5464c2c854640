"""Plain autograd's gradient for random cotangents, and a check that it is not zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from ntkspec.errors import ExportError
from ntkspec.export.context import evaluation
from ntkspec.export.evaluation import differentiate, evaluate
from ntkspec.export.prepare import Precision, Prepared, prepare
from ntkspec.export.tolerance import largest
from ntkspec.export.uses import Read

Gradients = dict[str, Tensor | None]

DIVISORS = range(1, 20, 2)  # of cotangents, which are then rounded differently
SHRINKS = 1e-6  # from single to double precision, a gradient that is rounding alone falls below this share


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


def _sparse_sum(reads: Sequence[tuple[Read, Tensor | None]], size: int, dtype: torch.dtype) -> Tensor | None:
    """Add up the gradient of a table of `size` numbers as one sparse vector; None if there is none."""
    terms = [read.terms(gradient) for read, gradient in reads if gradient is not None]
    if not terms:
        return None
    positions, values = (torch.cat(parts) for parts in zip(*terms, strict=True))
    return torch.sparse_coo_tensor(
        positions[None], values.to(dtype), (size,), check_invariants=False, device=values.device
    ).coalesce()


def require_gradient(prepared: Prepared, x: Tensor) -> None:
    """Raise an error if the gradient at x (n, d) is zero up to rounding in all parameters.

    The gradient is computed in single and in double precision. A small gradient is about the same in both;
    mere rounding error is far smaller in double precision. The model is copied for this, so call this
    function only if a check of the gradient has failed.

    Raises:
        ExportError: the gradient consists of rounding error.
    """
    sizes = _size(prepared, x), _size_in_other_precision(prepared, x)
    single, double = sizes if prepared.dtype == torch.float32 else sizes[::-1]
    if double < SHRINKS * single:
        raise ExportError(
            "model",
            expected="outputs that depend on trainable parameters",
            got=f"a gradient that is zero but for rounding (at most {single:.1e} in single precision, "
            f"{double:.1e} in double)",
            remedy="look in forward for what cancels, such as the sum of a softmax, or a softmax or "
            "normalisation over a single entry",
        )


def _size(prepared: Prepared, x: Tensor) -> float:
    """Return the largest absolute gradient for several cotangents: one may show no rounding by chance."""
    sizes = []
    for divisor in DIVISORS:
        outputs = evaluate(prepared.model, x)
        sizes.append(largest(gradients_of(prepared, outputs, random_cotangents(outputs) / divisor).values()))
    return max(sizes)


def _size_in_other_precision(prepared: Prepared, x: Tensor) -> float:
    """Return the same as `_size` in the other precision; NaN where the model does not run in it."""
    other: Precision = "float32" if prepared.dtype == torch.float64 else "float64"
    try:
        copied = prepare(prepared.source, other)
        with evaluation(copied.device, copied.dtype):
            return _size(copied, x.to(copied.dtype))
    except Exception:  # the model does not run in it
        return math.nan
