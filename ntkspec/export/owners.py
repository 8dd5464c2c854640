"""The sample that each number of an intermediate result belongs to, for a result of any layout.

Two backward passes are compared, one with cotangents v, the other with those of sample i multiplied by
2^d(i): every number that belongs to sample i changes by that power, without rounding. A number that belongs
to several samples changes by no power of two. d(i) is a digit of i, in a base that the range of the numbers
allows; there is a pass for each digit.

Numbers so small that these powers would round them are looked at with larger cotangents, where all others may
overflow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ntkspec.export.gradients import random_cotangents

NOBODY = -1
# The largest power, 2^47 or 2^15, leaves most of the range. Its sum with 1 is not rounded to a power of two:
# a number of two samples is not taken for a number of one.
_BASES = {torch.float64: 48, torch.float32: 16}
_LARGER = {torch.float64: 2.0**512, torch.float32: 2.0**64}  # than 1: cotangents for small numbers

Backward = Callable[[Tensor], Sequence[Tensor]]  # gradients at some results for cotangents (n, c)


def owners(outputs: Tensor, backward: Backward, nonzero: Sequence[Tensor]) -> list[Tensor | None]:
    """Return the sample (int64) of each number of the results at which `backward` gives gradients.

    It is -1 for a number without a gradient. It is None for a result with a number that belongs to several
    samples, or whose gradient leaves the range of numbers.

    Args:
        outputs: (n, c).
        backward: called with cotangents (n, c).
        nonzero: of each result, where some output has a gradient that is not zero (bool).
    """
    n = len(outputs)
    base, samples = _BASES[outputs.dtype], torch.arange(n, device=outputs.device)
    # One random row for all samples, in the layout of the coded ones, so that the same kernel rounds alike.
    v = random_cotangents(outputs[:1]).repeat(n, 1)
    plain = backward(v)
    owner_of: list[Tensor | None] = [torch.where(there, 0, NOBODY) for there in nonzero]
    small = [there & _small(gradient, base) for there, gradient in zip(nonzero, plain, strict=True)]
    if any(bool(places.any()) for places in small):
        backward = _with_larger(backward, small, _LARGER[outputs.dtype])
        plain = backward(v)
    power = 1
    while power < n:
        digits = samples // power % base
        coded = backward(v * torch.exp2(digits.to(v.dtype))[:, None])
        pairs = zip(owner_of, plain, coded, strict=True)
        owner_of = [
            None if owner is None else _with_digits(owner, before, after, base, power)
            for owner, before, after in pairs
        ]
        power *= base
    return owner_of


def _small(gradient: Tensor, base: int) -> Tensor:
    """Return where a gradient is so small that scaling it by a power of two may round it."""
    return gradient.abs() <= torch.finfo(gradient.dtype).tiny * 2.0**base


def _with_larger(backward: Backward, small: Sequence[Tensor], factor: float) -> Backward:
    """Return a function that computes small gradients from larger cotangents; all others are as before."""

    def both(v: Tensor) -> list[Tensor]:
        passes = zip(small, backward(v * factor), backward(v), strict=True)
        return [torch.where(places, larger, plain) for places, larger, plain in passes]

    return both


def _with_digits(owner: Tensor, plain: Tensor, coded: Tensor, base: int, power: int) -> Tensor | None:
    kept = owner >= 0
    mantissa, exponent = torch.frexp(coded[kept] / plain[kept])
    digits = exponent.long() - 1
    if not bool(((mantissa == 0.5) & (digits >= 0) & (digits < base)).all()):
        return None
    owner = owner.clone()
    owner[kept] += digits * power
    return owner
