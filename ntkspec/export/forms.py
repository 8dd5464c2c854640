"""The uses of each parameter in a forward pass, and the form that they give its Jacobian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

import torch
from torch import Tensor

from ntkspec._io import first_line
from ntkspec.export import graph
from ntkspec.export.prepare import Owned, Prepared
from ntkspec.export.rank_one import Layout
from ntkspec.export.uses.find import MOST_USES, Consumers, Moved, Use, find_uses, is_full_view
from ntkspec.export.uses.moves import SAMPLERS
from ntkspec.export.uses.products import Product, Shift, product_of, shift_of
from ntkspec.export.uses.reads import Read, is_read, read_alike, read_of
from ntkspec.nets.lookup import TableLookup

PAIRS_PAY = 2  # pairs are stored if they take at most half a dense row: docs/adr/0027-pairs-of-factors.md

Kind = Literal["linear", "pairs", "lookup", "rows", "scanned", "dense"]


@dataclass(frozen=True)
class Form:
    """The form of one parameter's Jacobian.

    "linear" are matrices and shifts that each sample uses once, "pairs" those that it uses several times,
    "lookup" the tables of a `TableLookup`, "rows" tables that are read by any other lookup, "scanned" all
    parameters whose rows turn out to be sparse without a lookup.
    """

    kind: Kind
    reason: str = ""  # dense, scanned, pairs: why no more compact form is possible
    remedy: str = ""  # and what would make one possible
    site: str = ""  # linear, pairs: the first of the parameters that are multiplied and added in one place
    widths: tuple[int, int] = (0, 0)  # linear, pairs: of the left and the right factor
    added: bool = False  # linear: a shift, which is added
    entries: int = 0  # lookup, rows, scanned: room for the numbers of a sample's row; pairs: for its uses
    layout: Layout | None = None  # rows: stored as products of weights and gradients
    varies: bool = False  # lookup, rows, scanned: which numbers are read depends on the sample


_T = TypeVar("_T")
_Linear = TypeVar("_Linear", Product, Shift)
_Seen = tuple[Product, ...] | tuple[Shift, ...] | tuple[Read, ...] | Form


@dataclass(frozen=True)
class Survey:
    """The uses of the parameters in one forward pass: each that it depends on is in one of these."""

    samples: int
    products: Mapping[str, tuple[Product, ...]]
    shifts: Mapping[str, tuple[Shift, ...]]
    reads: Mapping[str, tuple[Read, ...]]
    others: Mapping[str, Form]

    @cached_property
    def sites(self) -> dict[str, tuple[graph.Node, ...]]:
        """Return the nodes at which each matrix is multiplied and each shift added, in a common order."""
        products = {name: tuple(use.node for use in uses) for name, uses in self.products.items()}
        multiplied = {node for nodes in products.values() for node in nodes}  # by a matrix that is trained
        shifts = {
            name: tuple(use.site if use.site in multiplied else use.node for use in uses)
            for name, uses in self.shifts.items()
        }
        return products | shifts

    @cached_property
    def forms(self) -> dict[str, Form]:
        """Return the most compact form that seems possible, for every parameter that is used."""
        first: dict[tuple[graph.Node, ...], str] = {}
        forms = {**self.others} | {name: Form("rows") for name in self.reads}
        linear: dict[str, tuple[Product, ...] | tuple[Shift, ...]] = {**self.products, **self.shifts}
        for name, sites in self.sites.items():
            rows, widths = sum(use.rows for use in linear[name]), linear[name][0].widths
            added = name in self.shifts
            site = first.setdefault(sites, name)
            if len(sites) == 1 and rows == self.samples and not graph.is_complex(sites[0]):
                forms[name] = Form("linear", site=site, widths=widths, added=added)
            else:
                forms[name] = self._several(site, rows, widths)
        return forms

    def _several(self, site: str, rows: int, widths: tuple[int, int]) -> Form:
        """Return the form of a matrix that so many rows are multiplied with, or of a shift at its site."""
        uses, why = -(-rows // self.samples), "samples use it once, in another order"
        if uses > 1:
            why = f"each sample uses it {uses} times: the Jacobians of its uses add up"
        if rows % self.samples:
            why = "it is multiplied with rows that are not as many for each sample, as of other parameters"
        if site in self.products:
            a, b = self.products[site][0].widths
            pairs = uses
            if any(graph.is_complex(product.node) for product in self.products[site]):
                why, pairs = "it multiplies complex numbers, whose parts are two uses", 2 * uses
            if pairs == 1 or PAIRS_PAY * pairs * (a + 1 + b) <= a * b:
                return Form("pairs", why, site=site, widths=widths, entries=pairs)
        return Form("dense", why, "give each use a parameter of its own")


def survey(outputs: Tensor, trainable: Sequence[Owned]) -> Survey:
    """Find out how each parameter is used in the forward pass that made the outputs (n, c)."""
    parameters = {owned.name: owned.parameter for owned in trainable}
    consumers = graph.consumers(outputs)
    uses = find_uses(outputs, parameters, consumers)
    usage: dict[str, _Seen] = {}
    for name, of_parameter in uses.items():
        if of_parameter:
            try:
                usage[name] = _seen(parameters[name], of_parameter, consumers)
            except Exception as error:  # as where a node does not keep what is needed
                operations = ", ".join(dict.fromkeys(use.operation for use in of_parameter))
                why = f"used by {operations}, which cannot be followed ({first_line(error)})"
                usage[name] = Form("dense", why)

    def of(kind: type[_T]) -> dict[str, tuple[_T, ...]]:
        """Return the uses of one kind, by parameter; parameters without any are left out."""
        pairs = [(name, uses) for name, uses in usage.items() if isinstance(uses, tuple)]
        of_kind = {name: tuple(use for use in uses if isinstance(use, kind)) for name, uses in pairs}
        return {name: uses for name, uses in of_kind.items() if uses}

    others = {name: form for name, form in usage.items() if isinstance(form, Form)}
    return Survey(len(outputs), of(Product), of(Shift), of(Read), others)


def first_forms(prepared: Prepared, usage: Survey) -> dict[str, Form]:
    """Return the most compact forms possible, by the uses that were found and by what modules declare."""
    forms = {**usage.forms}
    for name, reads in usage.reads.items():
        alike = read_alike(reads, usage.samples)
        forms[name] = Form("rows", varies=alike is None or not len(alike))
    for owned in prepared.trainable:
        declared = isinstance(prepared.model.get_submodule(owned.module), TableLookup)
        if declared and owned.attribute == "table" and owned.name in forms:
            forms[owned.name] = Form("lookup", varies=True)
    return forms


def _seen(parameter: Tensor, uses: Sequence[Use], consumers: Consumers) -> _Seen:
    """Return all uses of a parameter, if they are of one kind; else a dense form with the reason."""
    moved: Moved = {}
    order = [*consumers]  # of uses: the same for a matrix and what is added to its products, and in every run
    if len(uses) > MOST_USES:
        return Form("dense", f"used in more than {MOST_USES} places")
    if all(map(is_read, uses)) and not parameter.is_complex():
        return tuple(read_of(use, parameter, moved) for use in uses)
    multiplied = [product_of(use, parameter, moved) for use in uses]
    products = _whole(multiplied, parameter)
    if len(products) == len(uses):
        if not all(torch.equal(product.positions, products[0].positions) for product in products):
            return Form("dense", "some products have it as it is, others its transpose")
        return tuple(sorted(products, key=lambda product: order.index(product.node)))
    added = [shift_of(use, parameter, consumers, moved) for use in uses]
    shifts = _whole(added, parameter)
    if len(shifts) == len(uses):
        return tuple(sorted(shifts, key=lambda shift: order.index(shift.site)))
    if len(uses) == 1 and (*multiplied, *added) != (None, None):
        why = "a part of it is multiplied or added, or a number of it in several places"
        return Form("dense", why, "make the part a parameter of its own")
    return _dense(uses, consumers)


def _whole(candidates: Sequence[_Linear | None], parameter: Tensor) -> list[_Linear]:
    """Return the products or shifts that use each number of the parameter once."""
    return [use for use in candidates if use is not None and _is_whole(use.positions, parameter)]


def _is_whole(positions: Tensor, parameter: Tensor) -> bool:
    """Return whether positions contain each of the parameter's numbers once."""
    if positions.numel() != parameter.numel():
        return False
    if is_full_view(positions):
        return True
    flat = positions.flatten().long()
    if bool((flat < 0).any()):
        return False
    return bool((torch.bincount(flat, minlength=len(flat)) == 1).all())


_KNOWN = {
    "WeightNormInterface": (
        "weight norm projects the row of each unit, which leaves no product of few factors",
        "remove_parametrizations, or remove_weight_norm for the older torch.nn.utils.weight_norm, makes it a "
        "plain matrix, whose kernel is another one",
    ),
    "Bmm": (
        "used by Bmm for a batch of products",
        "multiply by one matrix at a time, each a parameter of its own",
    ),
    "Convolution": ("a convolution uses it at every position", "freeze it"),
    "NativeLayerNorm": ("LayerNorm has no factor form", ""),
    "NativeBatchNorm": ("BatchNorm has no factor form", ""),
}


def _dense(uses: Sequence[Use], consumers: Consumers) -> Form:
    """Return a dense form, with a reason that names the operations which allow no other."""
    operations = list(dict.fromkeys(use.operation for use in uses))
    if len(uses) > 1:
        why = f"used {len(uses)} times, by {', '.join(operations)}: the Jacobians of its uses add up"
        return Form("dense", why, "give each use a parameter of its own")
    (operation,) = operations
    if operation in _KNOWN:
        return Form("dense", *_KNOWN[operation])
    remedy = f"if it is a table, look its numbers up first, and apply {operation} to what was read"
    if any(graph.operation(taker.node) in SAMPLERS for taker in consumers.get(uses[0].node, ())):
        remedy = (
            f"look up the corners by their indices, and apply {operation} before weighting them: applied to "
            "what is interpolated, it is another function"
        )
    arithmetic = operation in (
        "output",
        "Add",
        "Sub",
        "Mul",
        "Div",
    )  # of a gain or a shift rather than of a table
    return Form("dense", f"used by {operation}, which has no factor form", "" if arithmetic else remedy)
