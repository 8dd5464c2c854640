"""Blocks of matrices, and of shifts that are added to their products.

The Jacobian is left (x) right: what the matrix is multiplied with, and the gradient at the product. A shift
has a constant for its left factor. If a sample uses a matrix several times, at several positions or in
several operations, the Jacobian is a sum over the uses, sum_t left_t (x) right_t, stored as its pairs; see
docs/adr/0027-pairs-of-factors.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ntkspec.export.chunk_blocks import ProductBlock
from ntkspec.export.forms import Form, Survey
from ntkspec.export.graph import is_complex
from ntkspec.export.plans import BlockPlan, Choices, Replan
from ntkspec.export.sparse_rows import places_of
from ntkspec.export.uses.products import Product, Shift

ROW_OF_ITS_OWN = "make a row for each sample of what samples share, as by code.expand(len(x), -1)"


def used_once(plan: BlockPlan, usage: Survey, at: Sequence[Tensor], outputs: Tensor) -> ProductBlock:
    """Build the block of what each sample uses once, in their order; a shift alone has no left factor.

    Args:
        plan: of a matrix and of what is added to its products, or of a shift.
        usage: how they are used.
        at: gradients at the product or the sum (*result, c); none if no sample uses any of the parameters.
        outputs: (n, c).
    """
    (n, c), (a, b) = outputs.shape, plan.widths
    if at:
        left = _columns(plan, usage, 0).to(outputs.dtype)
        rows = at[0] if plan.is_shift else _product_of(plan, usage, 0).right(at[0])
        right = rows.reshape(n, -1, c).movedim(2, 1).to(outputs.dtype)
    else:
        left, right = outputs.new_zeros(n, a), outputs.new_zeros(n, c, b)
    places = _places(plan, usage)
    if plan.is_shift:
        return ProductBlock(plan, None, left[:, :, None] * right, places)
    return ProductBlock(plan, left, right.contiguous(), places)


def used_several_times(
    plan: BlockPlan,
    usage: Survey,
    samples: Sequence[Tensor],
    at: Sequence[Tensor],
    choices: Choices,
    outputs: Tensor,
) -> ProductBlock:
    """Build the block of what each sample uses several times, with the uses of each side by side.

    Args:
        plan: of a matrix, and of what is added to its products.
        usage: how they are used.
        samples: the sample of each number of the product, use by use.
        at: gradients at the products: (*result, c), of complex ones (*result, 2, c).
        choices: what was planned.
        outputs: (n, c).

    Raises:
        Replan: a sample uses the matrix more often than was planned, or shares a row with another sample.
    """
    (n, c), (a, b) = outputs.shape, plan.widths
    owners = [outputs.new_zeros(0, dtype=torch.long)]
    lefts, rights = [outputs.new_zeros(0, a)], [outputs.new_zeros(0, b, c)]
    for use, (owner, gradient) in enumerate(zip(samples, at, strict=True)):
        product = _product_of(plan, usage, use)
        row_owner = _row_owner(product.right(owner).flatten(1))
        if row_owner is None:
            why = "a row serves several samples"
            raise Replan(choices.demote({owned.name: why for owned in plan.owned}, ROW_OF_ITS_OWN))
        kept = row_owner >= 0
        for left, right in _real_pairs(_columns(plan, usage, use), product.right(gradient), product):
            owners.append(row_owner[kept])
            lefts.append(left[kept].to(outputs.dtype))
            rights.append(right[kept].to(outputs.dtype))
    order, places, most = places_of(torch.cat(owners), n)
    if most > plan.form.entries:
        raise Replan(
            choices.with_forms({o.name: _more(choices.forms[o.name], most, a, b) for o in plan.owned})
        )
    room = plan.form.entries
    left, right = outputs.new_zeros(n, room, a), outputs.new_zeros(n, room, b, c)
    left[places], right[places] = torch.cat(lefts)[order], torch.cat(rights)[order]
    right = right.flatten(0, 1).movedim(2, 1).contiguous()
    return ProductBlock(plan, left.flatten(0, 1), right, _places(plan, usage), room)


def _product_of(plan: BlockPlan, usage: Survey, use: int) -> Product:
    return next(usage.products[owned.name][use] for owned in plan.owned if owned.name in usage.products)


def _row_owner(owners: Tensor) -> Tensor | None:
    """Return the sample of each row of owners (N, b), where -1 is none; None if a row has several."""
    last = owners.amax(1)
    same = (owners == last[:, None]) | (owners < 0)
    return last if bool(same.all()) else None


def _columns(plan: BlockPlan, usage: Survey, use: int) -> Tensor:
    """Return the left factor (N, a) of one use, which may be complex."""
    columns = []
    for owned in plan.owned:
        if owned.name in usage.products:
            columns.append(usage.products[owned.name][use].left.resolve_conj())
        else:
            shift = usage.shifts[owned.name][use]
            columns.append(torch.full((shift.rows, 1), shift.scale, device=owned.parameter.device))
    wider = torch.result_type(columns[0], columns[-1])
    return torch.cat([column.to(wider) for column in columns], dim=1)


def _real_pairs(left: Tensor, right: Tensor, product: Product) -> list[tuple[Tensor, Tensor]]:
    """Return the uses of one product in real numbers: left (N, a), right (N, b, c) each.

    For complex numbers the gradient at the matrix is conj(left) (x) g, with g = df/dRe + i df/dIm: its real
    part is Re left (x) Re g + Im left (x) Im g, its imaginary part Re left (x) Im g - Im left (x) Re g.
    """
    if not is_complex(product.node):
        return [(left, right)]
    real, imaginary = right.unbind(2)  # (N, b, 2, c)
    first, second = (real, imaginary), (imaginary, -real)
    parts = torch.view_as_real(left.to(torch.result_type(left, 1j)))
    return [
        (parts[..., side], torch.stack(rights[: product.parts], 2).flatten(1, 2))
        for side, rights in enumerate((first, second))
    ]


def _places(plan: BlockPlan, usage: Survey) -> dict[str, Tensor]:
    """Return the position of each number of the block in its parameter, in real numbers."""
    used: dict[str, tuple[Product, ...] | tuple[Shift, ...]] = {**usage.products, **usage.shifts}
    places = {}
    for owned in plan.owned:
        if owned.name in used:
            use = used[owned.name][0]
            places[owned.name] = use.positions
            if use.parts > 1:
                parts = torch.arange(use.parts, device=use.positions.device)
                places[owned.name] = (use.positions.long()[..., None] * use.parts + parts).flatten(-2)
    return places


def _more(form: Form, uses: int, a: int, b: int) -> Form:
    """Return the form with room for more uses, or a dense one where pairs would take more."""
    if uses * (a + b) > a * b:
        return Form("dense", f"some samples use it {uses} times: the Jacobians of its uses add up")
    return replace(form, entries=uses)
