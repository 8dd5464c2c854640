"""Matrices that a sample uses several times, at several positions or one after the other.

The Jacobian is a sum over the uses, sum_t left_t (x) right_t, stored as its pairs: see docs/adr/0027.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ntkspec.export.forms import Form, Survey
from ntkspec.export.layout import BlockPlan, Choices
from ntkspec.export.pieces import PairsPiece
from ntkspec.export.replan import Replan
from ntkspec.export.sparse_rows import places_of
from ntkspec.export.uses import Product, Shift


def several_uses(
    plan: BlockPlan,
    found: Survey,
    samples: Sequence[Tensor],
    at: Sequence[Tensor],
    choices: Choices,
    outputs: Tensor,
) -> PairsPiece:
    """The pairs of each sample, wherever its rows stand.

    Args:
        plan: of a matrix, and of what is added to its products.
        found: how they are used.
        samples: the sample of each number of the product, use by use.
        at: gradients (*result, c) at the products.
        choices: what was planned.
        outputs: (n, c).

    Raises:
        Replan: a sample uses it more often than was planned, or shares a row with another.
    """
    n, c = outputs.shape
    a, b = sum(form.widths[0] for form in plan.forms), plan.form.widths[1]
    owners = [outputs.new_zeros(0, dtype=torch.long)]
    lefts, rights = [outputs.new_zeros(0, a)], [outputs.new_zeros(0, b, c)]
    for use, (owner, gradient) in enumerate(zip(samples, at, strict=True)):
        product = _product_of(plan, found, use)
        row_owner = _row_owner(product.right(owner))
        if row_owner is None:
            raise Replan(choices.demote({owned.name: "a row serves several samples" for owned in plan.owned}))
        kept = row_owner >= 0
        right = torch.stack([product.right(one) for one in gradient.unbind(-1)], -1)
        owners.append(row_owner[kept])
        lefts.append(_columns(plan, found, use, outputs)[kept])
        rights.append(right[kept].to(outputs.dtype))
    order, places, uses = places_of(torch.cat(owners), n)
    if uses > plan.form.entries:
        raise Replan(
            choices.with_forms({o.name: _more(choices.forms[o.name], uses, a, b) for o in plan.owned})
        )
    left = outputs.new_zeros(n, plan.form.entries, a)
    right = outputs.new_zeros(n, plan.form.entries, b, c)
    left[places], right[places] = torch.cat(lefts)[order], torch.cat(rights)[order]
    return PairsPiece(plan, left, right.permute(0, 3, 1, 2).contiguous(), _places(plan, found))


def _product_of(plan: BlockPlan, found: Survey, use: int) -> Product:
    return next(found.products[owned.name][use] for owned in plan.owned if owned.name in found.products)


def _row_owner(owners: Tensor) -> Tensor | None:
    """The sample of each row of owners (N, b), of which some are none (-1); None if a row has several."""
    last = owners.amax(1)
    same = (owners == last[:, None]) | (owners < 0)
    return last if bool(same.all()) else None


def _columns(plan: BlockPlan, found: Survey, use: int, outputs: Tensor) -> Tensor:
    """The left factor (N, a) of one use."""
    columns = []
    for owned in plan.owned:
        if owned.name in found.products:
            columns.append(found.products[owned.name][use].left.to(outputs.dtype))
        else:
            shift = found.shifts[owned.name][use]
            columns.append(outputs.new_full((shift.rows, 1), shift.scale))
    return torch.cat(columns, dim=1)


def _places(plan: BlockPlan, found: Survey) -> dict[str, Tensor]:
    """Where in its parameter each number of the block stands."""
    used: dict[str, tuple[Product, ...] | tuple[Shift, ...]] = {**found.products, **found.shifts}
    return {o.name: used[o.name][0].positions.flatten().long() for o in plan.owned if o.name in used}


def _more(form: Form, uses: int, a: int, b: int) -> Form:
    """The form with room for more uses; dense where pairs then take more."""
    if uses * (a + b) > a * b:
        return Form("dense", f"some samples use it {uses} times: the Jacobians of its uses add up")
    return replace(form, entries=uses)
