"""The Jacobian on one chunk of samples, every block checked against plain autograd.

The check: for random cotangents v, sum_io v_io J[i, o, :] must equal autograd's gradient of sum_io v_io f_io
for every trainable parameter, blocks or not. It costs one backward pass. A wrong row, a layer that was used
once more than its hook saw, a parameter used in secret: each changes that sum, whatever made it wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ntkspec.errors import ExportError, MemoryBudgetError
from ntkspec.export.dense import by_loop, by_vmap
from ntkspec.export.evaluation import differentiate, evaluate, first_line
from ntkspec.export.factors import Piece, capturing, flat_gradient
from ntkspec.export.gradients import Gradients, gradients_of, random_cotangents, require_gradient
from ntkspec.export.layout import BlockPlan, Choices
from ntkspec.export.prepare import Prepared
from ntkspec.export.registered import UnregisteredError, require_registered
from ntkspec.export.tolerance import Difference, Tolerance, largest
from ntkspec.jacobian import Jacobian


class Replan(Exception):
    """The check found a choice that does not hold; start the snapshot again with better ones."""

    def __init__(self, choices: Choices) -> None:
        super().__init__("replan")
        self.choices = choices


@dataclass(frozen=True)
class Chunk:
    """Outputs and blocks of some samples, in torch."""

    outputs: Tensor  # (m, c)
    pieces: tuple[Piece, ...]

    def to_jacobian(self, dtype: np.dtype[Any]) -> Jacobian:
        """The blocks in NumPy, as they are stored."""
        return Jacobian(tuple(piece.to_block(dtype) for piece in self.pieces))


def compute(prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, x: Tensor) -> Chunk:
    """The Jacobian at x (m, d).

    Raises:
        Replan: a choice does not hold on these samples.
        ExportError: the Jacobian is not finite, or no route gives what autograd gives.
    """
    tolerance = Tolerance.of(prepared.dtype, choices)
    try:
        outputs, factored, gradients, v = _factored(prepared, plans, choices, x)
    except (Replan, UnregisteredError, MemoryBudgetError):
        raise
    except Exception as error:
        raise _without_hooks(prepared, plans, choices, x, error) from error
    _check_unused(gradients, choices)
    _check_finite(factored, x)
    wrong, whole = {}, largest(gradients.values())
    for piece in factored:
        worst = tolerance.factors.worst(_differences(piece, gradients, v, whole))
        if worst:
            wrong[piece.plan.module] = f"its factors differ from autograd by {worst:.1e}, relative"
    if wrong:
        raise Replan(choices.demote(wrong))
    dense = _dense(prepared, [plan for plan in plans if plan.kind == "dense"], choices, x, outputs.shape[1])
    _check_finite(dense, x)
    differences = [one for piece in dense for one in _differences(piece, gradients, v, whole)]
    if tolerance.dense.worst(differences):
        raise _dense_failure(differences, choices, prepared, x)
    pieces = {piece.plan.name: piece for piece in (*factored, *dense)}
    return Chunk(outputs, tuple(pieces[plan.name] for plan in plans))


def _factored(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, x: Tensor
) -> tuple[Tensor, list[Piece], Gradients, Tensor]:
    """Outputs, factored blocks, and autograd's gradients for cotangents v: one forward, c + 1 backward."""
    with capturing(prepared.model, plans) as captures:
        outputs = evaluate(prepared.model, x)
        for capture in captures:
            capture.closed = True
        deltas = [capture.delta for capture in captures if capture.delta is not None]
        require_registered(prepared, x, outputs, deltas)
        problems = {capture.plan.module: capture.usable(len(x)) for capture in captures}
        if any(problems.values()):
            raise Replan(choices.demote({module: why for module, why in problems.items() if why}))
        rights = _rights(outputs, deltas)
        v = random_cotangents(outputs)
        gradients = gradients_of(prepared, outputs, v)
        pieces = [capture.piece(right) for capture, right in zip(captures, rights, strict=True)]
    return outputs.detach(), pieces, gradients, v


def _without_hooks(
    prepared: Prepared, plans: Sequence[BlockPlan], choices: Choices, x: Tensor, error: Exception
) -> Exception:
    """What to raise for an error under hooks: where the model runs without them, try without them."""
    hooked = [plan.module for plan in plans if plan.kind != "dense"]
    if not hooked:
        return error
    outputs = evaluate(prepared.model, x)
    gradients_of(prepared, outputs, random_cotangents(outputs))
    return Replan(choices.demote(dict.fromkeys(hooked, f"the model fails with hooks ({first_line(error)})")))


def _rights(outputs: Tensor, deltas: list[Tensor]) -> list[Tensor]:
    """The gradient of every output at every delta: (n, c, out). Samples must not depend on each other."""
    c = outputs.shape[1]
    rights = [delta.new_zeros(len(delta), c, delta.shape[1]) for delta in deltas]
    if not deltas:
        return rights
    for o in range(c):
        found = differentiate(outputs[:, o].sum(), deltas, None, retain=True)
        for right, gradient in zip(rights, found, strict=True):
            if gradient is not None:
                right[:, o] = gradient
    return rights


def _dense(prepared: Prepared, plans: list[BlockPlan], choices: Choices, x: Tensor, c: int) -> list[Piece]:
    owned = [one for plan in plans for one in plan.owned]
    if not owned:
        return []
    if choices.loop:
        found = by_loop(prepared.model, owned, x, c)
    else:
        try:
            found = by_vmap(prepared.model, owned, x, c)
        except torch.OutOfMemoryError as error:
            raise MemoryBudgetError(
                "dense Jacobian",
                expected="enough memory on the device",
                got=str(error).splitlines()[0],
                remedy="give a smaller memory budget",
            ) from error
        except Exception as error:
            raise Replan(replace(choices, loop=f"{type(error).__name__}: {first_line(error)}")) from error
    by_name = dict(zip([one.name for one in owned], found, strict=True))
    return [Piece(plan, None, torch.cat([by_name.pop(o.name) for o in plan.owned], dim=2)) for plan in plans]


def _differences(piece: Piece, gradients: Gradients, v: Tensor, whole: float) -> list[Difference]:
    """Differences between the block's contraction and autograd's, a parameter at a time.

    A parameter's own scale is its largest sum of absolute values, so that cancellation is no error.
    """
    sizes = [owned.parameter.numel() for owned in piece.plan.owned]
    error = torch.split(piece.contract(v) - flat_gradient(piece.plan, gradients), sizes)
    scale = torch.split(piece.contract(v, absolute=True), sizes)
    return [Difference.of(e, s, whole) for e, s in zip(error, scale, strict=True)]


def _check_unused(gradients: Gradients, choices: Choices) -> None:
    def used(name: str) -> bool:
        gradient = gradients[name]
        return gradient is not None and bool((gradient != 0).any())

    found = {name for name in choices.unused if used(name)}
    if found:
        raise Replan(replace(choices, unused=choices.unused - found))


def _check_finite(pieces: Sequence[Piece], x: Tensor) -> None:
    for piece in pieces:
        bad = piece.bad_rows()
        if bad.any():
            raise not_finite(piece.plan.name, x[bad])


def not_finite(name: str, x: Tensor) -> ExportError:
    """The error for a Jacobian of `name` that is not finite at x (m, d)."""
    return ExportError(
        f"Jacobian of {name}",
        expected="finite numbers",
        got=f"NaN or Inf for {len(x)} samples, the first at x = {x[0].tolist()}",
        remedy="look for sqrt, log, norm or division at zero in the forward pass",
    )


def _dense_failure(
    differences: list[Difference], choices: Choices, prepared: Prepared, x: Tensor
) -> Exception:
    """What to try next when the dense route differs from autograd at x (m, d)."""
    worst = Tolerance.of(prepared.dtype, choices).dense.worst(differences)
    if not choices.loop:
        return Replan(replace(choices, loop=f"vmap differs from autograd by {worst:.1e}, relative"))
    single = replace(choices, single=True)
    if not choices.single and not Tolerance.of(prepared.dtype, single).dense.worst(differences):
        return Replan(Choices(unused=choices.unused, single=True))
    require_gradient(prepared, x)
    return ExportError(
        "model",
        expected="the gradient of a batch to be the sum of its samples' gradients",
        got=f"a relative difference of {worst:.1e}",
        remedy="let no sample of a batch depend on another, and remove half-precision casts from forward"
        + or_rounding(prepared.dtype),
    )


def or_rounding(dtype: torch.dtype) -> str:
    """What else to try against differences that rounding in `dtype` may explain."""
    return ", or rule out rounding by precision='float64'" if dtype == torch.float32 else ""
