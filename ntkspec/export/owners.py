"""The sample that each number of an intermediate result belongs to, for a result of any layout.

Two backward passes are compared, one with cotangents v, the other with those of sample i multiplied by
2^d(i): every number that belongs to sample i changes by that power, without rounding. A number that belongs
to several samples changes by no power of two. d(i) is a digit of i, in a base that the range of the numbers
allows; there is a pass for each digit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ntkspec.export.gradients import random_cotangents

NOBODY = -1
_BASES = {torch.float64: 64, torch.float32: 16}  # the largest power, 2^63 or 2^15, leaves most of the range

Backward = Callable[[Tensor], Sequence[Tensor]]  # gradients at some results for cotangents (n, c)


def owners(outputs: Tensor, backward: Backward) -> list[Tensor | None]:
    """Return the sample (int64) of each number of the results at which `backward` gives gradients.

    It is -1 for a number that belongs to no sample. It is None for a result with a number that belongs to
    several samples.
    """
    n = len(outputs)
    base, samples = _BASES[outputs.dtype], torch.arange(n, device=outputs.device)
    # One random row for all samples, in the layout of the coded ones, so that the same kernel rounds alike.
    v = random_cotangents(outputs[:1]).repeat(n, 1)
    plain = backward(v)
    owner_of: list[Tensor | None] = [torch.where(_counts(gradient, base), 0, NOBODY) for gradient in plain]
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


def _counts(gradient: Tensor, base: int) -> Tensor:
    """Return where a gradient is neither zero nor so small that scaling by a power of two is inexact."""
    return gradient.abs() > torch.finfo(gradient.dtype).tiny * 2.0**base


def _with_digits(owner: Tensor, plain: Tensor, coded: Tensor, base: int, power: int) -> Tensor | None:
    kept = owner >= 0
    mantissa, exponent = torch.frexp(coded[kept] / plain[kept])
    digits = exponent.long() - 1
    if not bool(((mantissa == 0.5) & (digits >= 0) & (digits < base)).all()):
        return None
    owner = owner.clone()
    owner[kept] += digits * power
    return owner
