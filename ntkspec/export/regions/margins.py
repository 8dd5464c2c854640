"""The samples that rounding could have put into another activation region.

For every tensor behind the encoding, a bound on its rounding error is computed operation by operation
(Wilkinson's running error analysis; Higham 2002, section 3.3); the encoding itself counts as exact. A sample
is uncertain if one of its numbers is no further from a kink than its error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from ntkspec import summation
from ntkspec.export.regions.operations import MOVES, Call

Number = Tensor | float  # a float stands for as many equal numbers as are needed


@dataclass(frozen=True, eq=False)
class Step(Call):
    """An operation that is about to be carried out, and the errors of its arguments."""

    bound: Callable[[Tensor], Tensor | None]  # of an argument's error; None: it is exact

    @property
    def precision(self) -> np.dtype[Any]:
        """Return that of the arithmetic."""
        dtype = next(tensor.dtype for tensor in self.tensors if tensor.is_floating_point())
        return np.dtype(str(dtype).removeprefix("torch."))

    def error(self, place: int) -> Number:
        """Return a bound on the error of argument number `place`, from 0; the number 0 if it is exact."""
        return self.error_of(self.args[place])

    def error_of(self, value: Any) -> Number:
        """Return a bound on the error of a tensor, or of a number as it is rounded; the number 0 if exact."""
        if isinstance(value, float):
            rounded = float(self.precision.type(value))
            return 0.0 if rounded == value else abs(value - rounded)
        bound = self.bound(value) if isinstance(value, Tensor) else None
        return 0.0 if bound is None else bound

    def errors(self, tensor: Tensor) -> Tensor:
        """Return a bound on the error of each number of a tensor, in its shape."""
        bound = self.bound(tensor)
        return torch.zeros_like(tensor) if bound is None else bound

    def size(self, place: int) -> Number:
        """Return the absolute value of argument number `place`; a mask is returned as it is."""
        argument = self.args[place]
        return argument if isinstance(argument, Tensor) and argument.dtype == torch.bool else abs(argument)

    def gamma(self, roundings: int) -> float:
        """Return gamma_(m + 1) for m roundings: one more for this analysis (Higham 2002, section 3.1)."""
        return summation.gamma(roundings + 1, self.precision)

    def option(self, name: str, place: int, default: Any) -> Any:
        """Return the argument number `place` or called `name`; the default if it is not given."""
        value = self.args[place] if len(self.args) > place else self.kwargs.get(name)
        return default if value is None else value


def _sum(step: Step) -> Number:
    scale: float = max(1.0, abs(step.option("alpha", 2, 1)))  # by its place where the second is a number
    sizes = step.size(0) + step.size(1)
    return scale * (step.error(0) + step.error(1) + step.gamma(2) * sizes)


def _product(step: Step) -> Number:
    sizes = step.size(0) * step.size(1)
    both = step.error(0) * step.error(1)
    return step.error(0) * step.size(1) + step.size(0) * step.error(1) + both + step.gamma(1) * sizes


def _ratio(step: Step) -> Number:
    """Bound the error of x / y, with |y| reduced by its error; infinite where that may be zero."""
    least = torch.as_tensor(step.size(1) - step.error(1)).clamp(min=0)
    exact = step.error(0) + step.gamma(1) * step.size(0)
    return (exact + step.size(0) * step.error(1) / step.size(1)) / least


def _matrices(step: Step, place: int = 0, gamma: float = 0.0) -> Number:
    """Bound the error of x @ y, arguments number `place` and the next, and `gamma` times |x| @ |y| more.

    It is (|dx| + gamma |x|) |y| + (|x| + |dx|) |dy|: one product where y is exact, as most parameters are.
    """
    x, y = (torch.as_tensor(step.size(k)) for k in (place, place + 1))
    x_error, y_error = step.error(place), step.error(place + 1)
    bound = (x_error + (step.gamma(x.shape[-1]) + gamma) * x) @ y
    return bound + (x + x_error) @ y_error if isinstance(y_error, Tensor) else bound


def _affine(step: Step) -> Number:
    beta: float = abs(step.kwargs.get("beta", 1))
    alpha: float = abs(step.kwargs.get("alpha", 1))
    added = step.error(0) + step.gamma(3) * step.size(0)
    return beta * added + alpha * _matrices(step, 1, step.gamma(3))


def _reduction(step: Step) -> Number:
    sizes: Tensor = step.func(step.size(0), *step.args[1:], **step.kwargs)
    terms = step.args[0].numel() // max(sizes.numel(), 1)
    bound: Tensor = step.func(step.errors(step.args[0]), *step.args[1:], **step.kwargs)
    return bound + step.gamma(terms + 1) * sizes


def _extreme(step: Step) -> Number:
    return step.errors(step.args[0]).amax(step.args[1], step.option("keepdim", 2, False))


def _slope(step: Step) -> Number:
    slope = abs(step.option("slope", 1, 0.01))
    steepest = slope.clamp(min=1.0) if isinstance(slope, Tensor) else max(1.0, slope)
    of_slope = step.error_of(step.option("slope", 1, None)) * (step.size(0) + step.error(0))
    return (step.error(0) + step.gamma(1) * step.size(0)) * steepest + of_slope


def _cut(step: Step) -> Number:
    """Bound the error of a function that is constant beyond its limits; that of x is 0 where it is beyond."""
    x, error, (low, high) = step.args[0], step.errors(step.args[0]), _LIMITS[step.name](step)
    of_limits = step.error_of(low) + step.error_of(high)
    flat = torch.zeros_like(x, dtype=torch.bool)
    if low is not None:
        flat |= x < low - error - of_limits
    if high is not None:
        flat |= x > high + error + of_limits
    return error.masked_fill(flat, 0.0) + of_limits


def _moved(step: Step) -> Number:
    args, kwargs = tree_map(
        lambda leaf: step.errors(leaf) if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf,
        (step.args, step.kwargs),
    )
    bound: Tensor = step.func(*args, **kwargs)
    return bound


# The limits (low, high) between which a function is not constant; None: there is no such limit.
_LIMITS: dict[str, Callable[[Step], tuple[Any, Any]]] = {
    "relu": lambda step: (0.0, None),
    "threshold": lambda step: (step.args[1], None),
    "hardtanh": lambda step: (step.option("min_val", 1, -1.0), step.option("max_val", 2, 1.0)),
    "clamp": lambda step: (step.option("min", 1, None), step.option("max", 2, None)),
    "clamp_min": lambda step: (step.args[1], None),
    "clamp_max": lambda step: (None, step.args[1]),
}
_RULES: dict[str, Callable[[Step], Number]] = {
    **dict.fromkeys(("add", "sub", "rsub"), _sum),
    "mul": _product,
    "div": _ratio,
    **dict.fromkeys(("mm", "bmm"), _matrices),
    "addmm": _affine,
    **dict.fromkeys(("sum", "mean"), _reduction),
    **dict.fromkeys(("amax", "amin"), _extreme),
    **dict.fromkeys(("leaky_relu", "_prelu_kernel"), _slope),
    **dict.fromkeys(("maximum", "minimum"), lambda step: step.error(0) + step.error(1)),
    "where": lambda step: step.error(1) + step.error(2),
    "copy": lambda step: step.error(1),
    "masked_fill": lambda step: step.error(0) + step.error_of(step.option("value", 2, None)),
    **dict.fromkeys(("neg", "clone", "_to_copy", "abs"), lambda step: step.error(0)),
    **dict.fromkeys(_LIMITS, _cut),
    "threshold": lambda step: _cut(step) + step.error_of(step.args[2]),
}


def _distances(step: Step) -> list[tuple[Tensor, Number]]:
    """Return how far numbers are from each kink, and how far rounding could have moved them."""
    name, x = step.name, step.args[0]
    if name in _LIMITS:
        limits = [limit for limit in _LIMITS[name](step) if limit is not None]
        return [((x - limit).abs(), step.error(0) + step.error_of(limit)) for limit in limits]
    if name in ("leaky_relu", "_prelu_kernel", "abs"):
        return [(x.abs(), step.error(0))]
    if name in ("amax", "amin"):
        return _from_the_next(step)
    return [(abs(x - step.args[1]), step.error(0) + step.error(1))]  # two numbers are compared


def _from_the_next(step: Step) -> list[tuple[Tensor, Number]]:
    """Return how far all numbers are from the maximum or minimum among them.

    The distance of a unique maximum or minimum from itself is set to infinity: it is no tie.
    """
    dims = step.args[1]
    reduce = torch.amax if step.name == "amax" else torch.amin
    x, error = step.args[0], step.errors(step.args[0])
    best = reduce(x, dims, keepdim=True)
    others = (x - best).abs()
    alone = (others == 0).sum(dims, keepdim=True) == 1
    others = others.masked_fill((others == 0) & alone, math.inf)
    return [(others, error + error.amax(dims, keepdim=True))]


class Margins:
    """Bounds on the errors of tensors, kept for each storage, so that all its views share them."""

    def __init__(self, samples: int) -> None:
        self.uncertain = torch.zeros(samples, dtype=torch.bool, device="cpu")
        self._errors: dict[int, Tensor] = {}  # by storage, one number for each of its numbers

    def decide(self, call: Call) -> None:
        """Mark samples whose activation region, or a comparison's result, rounding could change."""
        for distance, error in _distances(self._step(call)):
            close = ~(distance > error) & torch.as_tensor(error != 0)  # an error that is not known is NaN
            self.uncertain |= close.reshape(len(self.uncertain), -1).any(dim=1).cpu()

    def after(self, call: Call) -> Number:
        """Bound the error of an operation's result; to be called before the operation is carried out."""
        return _RULES.get(call.name, _moved)(self._step(call))

    def follows(self, call: Call) -> bool:
        """Return whether the error of an operation's result can be bounded."""
        return call.name in _RULES or call.name in MOVES

    def exact(self, tensors: Iterable[Tensor]) -> bool:
        """Return whether none of these tensors has a bound on its error; then they count as exact."""
        return all(self._bound(tensor) is None for tensor in tensors)

    def keep(self, results: list[Tensor], error: Number) -> None:
        """Keep the error bound of an operation's results."""
        for result in results:
            self._kept(result).copy_(torch.as_tensor(error).expand(result.shape))

    def forget(self) -> None:
        """Drop all error bounds; which samples are uncertain is kept."""
        self._errors.clear()

    def _step(self, call: Call) -> Step:
        return Step(call.func, call.args, call.kwargs, self._bound)

    def _bound(self, tensor: Tensor) -> Tensor | None:
        return self._kept(tensor) if tensor.untyped_storage()._cdata in self._errors else None

    def _kept(self, tensor: Tensor) -> Tensor:
        """Return the bounds of a tensor's numbers, to read or to write; zeros if there were none."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._errors:
            count = storage.nbytes() // tensor.element_size()
            self._errors[storage._cdata] = torch.zeros(count, dtype=tensor.dtype, device=tensor.device)
        flat = self._errors[storage._cdata]
        return flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
