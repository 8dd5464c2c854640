"""Limits on the difference of two gradients that should be equal but for rounding.

A difference is relative to the parameter's own gradient or, if that is smaller than the rounding errors of
the others, to the gradient of all parameters. For example, a shift before a softmax has the gradient zero:
what is computed for it is rounding error. It changes the kernel by at most the square of the limit, relative
to the kernel, which is below the kernel's own precision.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Difference:
    """The difference of two results for one tensor."""

    error: float  # largest difference of two entries
    own: float  # the tensor's own scale
    whole: float  # the scale of all tensors that belong together, its own among them

    @classmethod
    def from_tensors(cls, difference: Tensor, scale: Tensor, whole: float | None = None) -> Difference:
        """Compare by the largest absolute values; `whole` is the tensor's own scale by default."""
        own = largest([scale])
        return cls(largest([difference]), own, own if whole is None else whole)

    @property
    def relative(self) -> float:
        """Return the error relative to the tensor's own scale; 0 / 0 is 0, and NaN is infinite."""
        if self.error == 0:
            return 0.0
        quotient = self.error / self.own if self.own > 0 else math.inf
        return math.inf if math.isnan(quotient) else quotient


@dataclass(frozen=True)
class Limit:
    """The largest differences that rounding explains."""

    own: float  # relative to the tensor's own scale
    whole: float  # relative to that of the whole

    def holds(self, difference: Difference) -> bool:
        """Return whether rounding explains the difference."""
        return difference.relative <= self.own or difference.error <= self.whole * difference.whole

    def worst(self, differences: Iterable[Difference]) -> float:
        """Return the largest relative difference that rounding does not explain; 0 if it explains all."""
        return max(
            (difference.relative for difference in differences if not self.holds(difference)), default=0.0
        )


@dataclass(frozen=True)
class Tolerance:
    """Limits for the differences of gradients that are computed in two ways."""

    factors: Limit  # two backward passes through the same forward pass
    dense: Limit  # a batch and its samples one by one: a ReLU at its kink may flip

    @classmethod
    def from_dtype(cls, dtype: torch.dtype, *, single: bool = False) -> Tolerance:
        """Return the limits for gradients in `dtype`; `single`: they agree to single precision alone."""
        # Half precision inside a model is off by 5e-4 and must not pass for single.
        if dtype == torch.float32:
            return cls(Limit(1e-5, 1e-5), Limit(3e-5, 3e-5))
        if single:
            return cls(Limit(1e-5, 1e-6), Limit(3e-5, 1e-6))
        # Factors that do not hold only become dense: better one too many of them.
        return cls(Limit(1e-10, 1e-12), Limit(1e-9, 1e-9))


def largest(tensors: Iterable[Tensor | None]) -> float:
    """Return the largest absolute value in all tensors, sparse ones included; NaN if there is a NaN."""
    values = [tensor.values() if tensor.is_sparse else tensor for tensor in tensors if tensor is not None]
    ends = [
        torch.aminmax(tensor.detach()) for tensor in values if tensor.numel()
    ]  # unlike abs().max(), without a copy
    sizes = [max(-float(low), float(high)) if low <= high else math.nan for low, high in ends]
    return math.nan if any(map(math.isnan, sizes)) else max(sizes, default=0.0)
