"""Convert arguments to blocks of a Jacobian: arrays of NumPy or JAX, trees of arrays, or factors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import ArrayLike

from ntkspec.arguments.real_arrays import Floats, as_floats
from ntkspec.arguments.roles import check_roles, role_of
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Block, DenseFactor, Factor, Jacobian, Ones, PairsFactor, Parameter, SparseFactor
from ntkspec.store.texts import one_level

_PAIRS = "a tuple is a pair of factors, (n, a) and (n, c, b); make trees of dicts and lists"
SEPARATORS = ".|"  # between the parts of a block's name: "." between keys, "|" for "/" in keys
_JACREV = "give d f_o(x_i) / d theta for each sample i and output o, as jax.vmap(jax.jacrev(f)) has it"


@dataclass(frozen=True)
class Rows:
    """The lengths that the first axes of a block's arrays must have."""

    n: int
    c: int
    plain: bool  # whether outputs are (n,): then the arrays lack the axis of outputs

    @property
    def lead(self) -> tuple[int, ...]:
        """Return the lengths of the axes before those of the parameter."""
        return (self.n,) if self.plain else (self.n, self.c)

    @property
    def left(self) -> Rows:
        """Return these lengths for left factors, whose arrays have no axis of outputs."""
        return Rows(self.n, 1, True)


def as_jacobian(blocks: object, rows: Rows, roles: Mapping[str, str] | None) -> Jacobian:
    """Convert the argument `blocks` of `ntkspec.write_run` to a Jacobian.

    Args:
        blocks: a mapping of names to Jacobians. It may be a tree of dicts and lists, as of JAX's parameters;
            its leaves become blocks, named by their keys with dots between: "Dense_0.kernel". A leaf is

            - an array (n, c, ...) of d f_o(x_i) / d theta, the parameter's own axes last, as
              `jax.vmap(jax.jacrev(f), (None, 0))(parameters, x)` returns them;
            - a tuple (left, right) of factors, whose row-wise Kronecker product is the Jacobian: arrays
              (n, a) and (n, c, b), `ntkspec.DenseFactor`, `ntkspec.SparseFactor` or, of a layer that is used
              several times, `ntkspec.PairsFactor`; None is all ones;
            - one factor of the package, which is then the right one, or an `ntkspec.Block`.

            An `ntkspec.Jacobian` is taken as it is, with its regions.
        rows: the numbers of samples and outputs that every block must have.
        roles: prefix of block names -> role of these blocks.

    Raises:
        UsageError: a block has an unknown form or wrong lengths, or a prefix in `roles` matches no block.
    """
    if isinstance(blocks, Jacobian):
        blocks = blocks.load()
        made = [_block(block.name, block, rows, block.order) for block in blocks]
        regions, certain = blocks.regions, blocks.regions_certain
    else:
        if not isinstance(blocks, Mapping | list) or not blocks:
            raise UsageError(
                "blocks",
                expected="a mapping of block names to arrays (n, c, ...)",
                got="an empty one" if isinstance(blocks, Mapping | list) else f"a {type(blocks).__name__}",
                remedy="e.g. {'theta': J}",
            )
        leaves = enumerate(list(_leaves(blocks, "")))
        made = [_block(name, leaf, rows, order) for order, (name, leaf) in leaves]
        regions, certain = None, False
    return Jacobian(_with_roles(made, roles), regions, certain)


def _leaves(tree: Mapping[Any, object] | list[object], path: str) -> Iterator[tuple[str, object]]:
    """Yield the name and the value of each leaf of a tree: each value that is neither a dict nor a list."""
    items: Iterable[tuple[object, object]]
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for key, value in items:
        if not isinstance(key, str | int):
            raise UsageError("blocks", expected="names", got=f"the key {shown(key)}")
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) or (isinstance(value, list) and not _is_array(value)):
            yield from _leaves(value, name)
        else:
            yield name, value


def _is_array(value: list[object]) -> bool:
    """Return whether a list is a nested list of numbers, and so an array rather than part of a tree."""
    first: object = value
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, int | float)


def _block(name: str, leaf: object, rows: Rows, order: int) -> Block:
    """Convert a leaf to a block; if the leaf is a `Block`, keep its role and parameters."""
    where = f"block {name!r}"
    if one_level(name) in ("", ".", ".."):
        raise UsageError("blocks", expected="names", got=repr(name), remedy="give the block another name")
    role = "network"
    parameters: tuple[Parameter, ...] = ()
    left: Factor | None = None
    right: Factor | None = None
    if isinstance(leaf, Block):
        role, parameters = leaf.role, leaf.parameters
        leaf = leaf.factors
    if isinstance(leaf, tuple):
        left, right = _pair(leaf, rows, where)
    elif isinstance(leaf, DenseFactor | SparseFactor | PairsFactor):
        right = _factor(leaf, rows, where)
    else:
        right, shape = _dense(leaf, rows, where)
        parameters = (Parameter(name, shape),)
    block = Block(one_level(name), role, rows.n, rows.c, left, right, order)
    if not block.width:
        raise UsageError(where, expected="one parameter or more", got="none", remedy="leave it out")
    block = replace(block, parameters=parameters)
    return replace(block, parameters=block.all_parameters)


def _dense(array: Any, rows: Rows, where: str) -> tuple[Factor, tuple[int, ...]]:
    """Convert a dense Jacobian (n, c, ...) to a factor; return it and the shape of its parameter."""
    values, lead = as_floats(array, where), rows.lead
    if values.shape[: len(lead)] != lead:
        expected = f"{_shape(lead, '...')}, the parameter's own axes last"
        raise _wrong_shape(where, expected, values, _JACREV)
    shape = values.shape[len(lead) :]
    return DenseFactor(values.reshape(rows.n, rows.c, -1)), shape


def _pair(pair: tuple[Any, ...], rows: Rows, where: str) -> tuple[Factor | None, Factor | None]:
    """Return the left and the right factor of a block; None stands for all ones."""
    if hasattr(pair, "_fields"):  # a named tuple: rather parameters by name than factors
        got = f"a named tuple, {type(pair).__name__}"
        raise UsageError(
            where, expected="a pair (left, right) or a dict", got=got, remedy="give its _asdict()"
        )
    pair = tuple(None if isinstance(side, Ones) else side for side in pair)
    if len(pair) != 2 or all(side is None for side in pair):
        got = f"a tuple of {len(pair)}" if len(pair) != 2 else "(None, None)"
        raise UsageError(where, expected="a pair (left, right) of factors", got=got, remedy=_PAIRS)
    sides = zip(pair, (rows.left, rows), ("left", "right"), strict=True)
    left, right = (
        None if factor is None else _factor(factor, of, f"{where}, {side} factor")
        for factor, of, side in sides
    )
    return left, right


def _factor(factor: Any, rows: Rows, where: str) -> Factor:
    """Return one factor of a block, from an array (n, a) on the left, (n, c, b) on the right, or a factor."""
    if isinstance(factor, PairsFactor):
        return _pairs(factor, rows, where)
    if not isinstance(factor, SparseFactor):
        values = factor.load().values[:] if isinstance(factor, DenseFactor) else factor
        return DenseFactor(_three_axes(values, rows, where))
    factor = factor.load()
    values = _three_axes(factor.values, rows, f"{where}, values")
    indices, columns = factor.indices, factor.columns
    if indices.size and not -1 <= indices.min() <= indices.max() < columns:
        raise UsageError(
            f"{where}, indices",
            expected=f"numbers from 0 to {columns - 1}, or -1 for padding",
            got=f"{indices.min()} to {indices.max()}",
            remedy="number columns from 0",
        )
    return SparseFactor(indices, values, columns)


def _pairs(factor: PairsFactor, rows: Rows, where: str) -> PairsFactor:
    """Return a factor of T pairs in memory, arrays (n, 1, T, a) and (n, c, T, b), once they are checked."""
    left, right = as_floats(factor.left[:], f"{where}, left"), as_floats(factor.right[:], f"{where}, right")
    if right.shape[:2] != (rows.n, rows.c):
        raise _wrong_shape(f"{where}, right", _shape((rows.n, rows.c), "uses, width"), right, _PAIRS)
    return PairsFactor(left, right)


def _three_axes(array: ArrayLike, rows: Rows, where: str) -> Floats:
    """Return the values of a factor as (n, c, width)."""
    values = as_floats(array, where)
    if rows.plain and values.ndim == 2:
        values = values[:, None]
    if values.ndim != 3 or values.shape[:2] != (rows.n, rows.c):
        raise _wrong_shape(where, _shape(rows.lead, "width"), values, _PAIRS)
    return values


def _with_roles(blocks: list[Block], roles: Mapping[str, str] | None) -> tuple[Block, ...]:
    """Return the blocks with the roles that `roles` gives to prefixes of their names; see `role_of`."""
    if roles is None:
        return tuple(blocks)
    if isinstance(roles, Mapping):
        roles = {one_level(str(prefix)): role for prefix, role in roles.items()}
    remedy = "name blocks as they are in the tree, with dots between the keys"
    check_roles(roles, [block.name for block in blocks], "block", SEPARATORS, remedy)
    return tuple(replace(block, role=role_of(block.name, roles, SEPARATORS, block.role)) for block in blocks)


def _shape(sizes: tuple[int, ...], more: str = "") -> str:
    """Write a shape, such as "(8, 3, width)", as messages show it."""
    return "(" + ", ".join([*map(str, sizes), *([more] if more else [])]) + ")"


def _wrong_shape(where: str, expected: str, got: Floats, remedy: str) -> UsageError:
    return UsageError(where, expected=f"an array {expected}", got=f"shape {got.shape}", remedy=remedy)
