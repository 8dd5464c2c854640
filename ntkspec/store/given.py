"""Take arrays and blocks as callers have them: of NumPy, of JAX, in trees of parameters, as factors."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntkspec._io import first_line
from ntkspec.counts import whole_number
from ntkspec.errors import UsageError, shown
from ntkspec.jacobian import Block, DenseFactor, Factor, Jacobian, Ones, PairsFactor, Parameter, SparseFactor
from ntkspec.roles import check_roles, role_of
from ntkspec.store.texts import one_level

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_PAIRS = "a tuple is a pair of factors, (n, a) and (n, c, b); make trees of dicts and lists"
SEPARATORS = ".|"  # of the parts of a block's name: between keys, and in keys
_JACREV = "give d f_o(x_i) / d theta for each sample i and output o, as jax.vmap(jax.jacrev(f)) has it"


@dataclass(frozen=True)
class Rows:
    """What the first axes of a block's arrays must be."""

    n: int
    c: int
    plain: bool  # whether the function has one number, so that arrays lack the axis of outputs

    @property
    def lead(self) -> tuple[int, ...]:
        """The axes before those of the parameter."""
        return (self.n,) if self.plain else (self.n, self.c)

    @property
    def left(self) -> Rows:
        """The same of left factors, which do not depend on the output."""
        return Rows(self.n, 1, True)


def as_floats(values: Any, name: str) -> NDArray[Any]:
    """Take an array of real numbers through `numpy.asarray`, in float32 or float64 of native byte order.

    float16 and bfloat16 become float32, integers and longdouble float64; no other number is changed.

    Raises:
        UsageError: it is none, or holds NaN, Inf or masked entries.
    """
    array = _asarray(values, name)
    native = array.dtype.newbyteorder("=")
    narrow = array.dtype.itemsize < 4 and native.name.startswith(("float", "bfloat"))
    if narrow or array.dtype.kind in "fiub":
        wanted = native if native in _FLOATS else np.dtype(np.float32 if narrow else np.float64)
        array = array.astype(wanted, copy=False)
    else:
        raise UsageError(
            name,
            expected="an array of real numbers",
            got=f"{array.dtype} of shape {array.shape}",
            remedy="give real and imaginary part as two outputs" if array.dtype.kind == "c" else "convert it",
        )
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        raise UsageError(
            name,
            expected="finite numbers",
            got=f"{array[tuple(place)]} at {place.tolist()}",
            remedy="a network that diverged cannot be analysed; take earlier weights",
        )
    return array


def as_indices(values: Any, name: str) -> NDArray[Any]:
    """Take an array of integers, in int32 or int64 of native byte order.

    Raises:
        UsageError: it is none, or has numbers beyond int64.
    """
    array = _asarray(values, name)
    if array.dtype.kind not in "iu" or (array.size and int(array.max()) > np.iinfo(np.int64).max):
        got = f"{array.dtype} of shape {array.shape}"
        raise UsageError(name, expected="an array of integers", got=got, remedy="convert it to int64")
    return array.astype(np.int32 if array.dtype == np.int32 else np.int64, copy=False)


def as_jacobian(blocks: Any, rows: Rows, roles: Mapping[str, str] | None) -> Jacobian:
    """Make a Jacobian of blocks as `ntkspec.write_run` takes them.

    Raises:
        UsageError: one is nothing of the kind, has other samples or outputs, or a role is of no block.
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
                got=f"a {type(blocks).__name__}"
                if not isinstance(blocks, Mapping | list)
                else "an empty one",
                remedy="e.g. {'theta': J}",
            )
        found = list(_leaves(blocks, ""))
        made = [_block(name, given, rows, order) for order, (name, given) in enumerate(found)]
        regions, certain = None, False
    return Jacobian(_with_roles(made, roles), regions, certain)


def _leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Names and values of all that is neither a dict nor a list."""
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    for key, value in items:
        if not isinstance(key, str | int):
            raise UsageError("blocks", expected="names", got=f"the key {shown(key)}", remedy="give texts")
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping) or (isinstance(value, list) and not _is_array(value)):
            yield from _leaves(value, name)
        else:
            yield name, value


def _is_array(value: list[Any]) -> bool:
    """Whether a list is rows of numbers rather than a part of a tree."""
    first: Any = value
    while isinstance(first, list) and first:
        first = first[0]
    return isinstance(first, int | float)


def _block(name: str, given: Any, rows: Rows, order: int) -> Block:
    where = f"block {name!r}"
    if one_level(name) in ("", ".", ".."):
        raise UsageError("blocks", expected="names", got=repr(name), remedy="give the block another name")
    role = "network"
    parameters: tuple[Parameter, ...] = ()
    left: Factor | None = None
    right: Factor | None = None
    if isinstance(given, Block):
        role, parameters = given.role, given.parameters
        given = given.factors
    if isinstance(given, tuple):
        left, right = _pair(given, rows, where)
    elif isinstance(given, DenseFactor | SparseFactor | PairsFactor):
        right = _factor(given, rows, where)
    else:
        right, shape = _dense(given, rows, where)
        parameters = (Parameter(name, shape),)
    block = Block(one_level(name), role, rows.n, rows.c, left, right, order)
    if not block.width:
        raise UsageError(where, expected="one parameter or more", got="none", remedy="leave it out")
    if (
        sum(math.prod(parameter.shape) for parameter in parameters) != block.width
    ):  # those of a tensor are lost
        parameters = (Parameter(name, (block.width,) if left is None or right is None else block.widths),)
    return replace(block, parameters=parameters)


def _dense(given: Any, rows: Rows, where: str) -> tuple[Factor, tuple[int, ...]]:
    """A Jacobian that is written out, and the shape of its parameter."""
    values, lead = as_floats(given, where), rows.lead
    if values.shape[: len(lead)] != lead:
        expected = f"{_shape(lead, '...')}, the parameter's own axes last"
        raise _wrong_shape(where, expected, values, _JACREV)
    shape = values.shape[len(lead) :]
    return DenseFactor(values.reshape(rows.n, rows.c, -1)), shape


def _pair(given: tuple[Any, ...], rows: Rows, where: str) -> tuple[Factor | None, Factor | None]:
    given = tuple(None if isinstance(one, Ones) else one for one in given)
    if len(given) != 2 or all(one is None for one in given):
        got = f"a tuple of {len(given)}" if len(given) != 2 else "(None, None)"
        raise UsageError(where, expected="a pair (left, right) of factors", got=got, remedy=_PAIRS)
    sides = zip(given, (rows.left, rows), ("left", "right"), strict=True)
    left, right = (
        None if one is None else _factor(one, of, f"{where}, {side} factor") for one, of, side in sides
    )
    return left, right


def _factor(given: Any, rows: Rows, where: str) -> Factor:
    """One factor of a block: an array (n, a) on the left, (n, c, b) on the right, or a factor's record."""
    if isinstance(given, PairsFactor):
        return _pairs(given, rows, where)
    if not isinstance(given, SparseFactor):
        values = given.load().values if isinstance(given, DenseFactor) else given
        return DenseFactor(_three_axes(values, rows, where))
    given = given.load()
    values = _three_axes(given.values, rows, f"{where}, values")
    indices = as_indices(given.indices, f"{where}, indices")
    if indices.shape != (rows.n, values.shape[2]):
        expected = f"{_shape((rows.n, values.shape[2]))}, as many as values"
        raise _wrong_shape(f"{where}, indices", expected, indices, "give one index a value")
    columns = whole_number(given.columns, f"{where}, columns", 1)
    if indices.size and not -1 <= indices.min() <= indices.max() < columns:
        raise UsageError(
            f"{where}, indices",
            expected=f"numbers from 0 to {columns - 1}, or -1 for padding",
            got=f"{indices.min()} to {indices.max()}",
            remedy="number columns from 0",
        )
    return SparseFactor(indices, values, columns)


def _pairs(given: PairsFactor, rows: Rows, where: str) -> PairsFactor:
    """A factor of T pairs: (n, 1, T, a) and (n, c, T, b)."""
    left, right = as_floats(given.left[:], f"{where}, left"), as_floats(given.right[:], f"{where}, right")
    if right.ndim != 4 or right.shape[:2] != (rows.n, rows.c):
        raise _wrong_shape(f"{where}, right", _shape((rows.n, rows.c), "uses, width"), right, _PAIRS)
    if left.ndim != 4 or left.shape[:3] != (rows.n, 1, right.shape[2]):
        raise _wrong_shape(f"{where}, left", _shape((rows.n, 1, right.shape[2]), "width"), left, _PAIRS)
    return PairsFactor(left, right)


def _three_axes(given: Any, rows: Rows, where: str) -> NDArray[Any]:
    """The values of a factor as (n, c, width)."""
    values = as_floats(given, where)
    if rows.plain and values.ndim == 2:
        values = values[:, None]
    if values.ndim != 3 or values.shape[:2] != (rows.n, rows.c):
        raise _wrong_shape(where, _shape(rows.lead, "width"), values, _PAIRS)
    return values


def _with_roles(blocks: list[Block], roles: Mapping[str, str] | None) -> tuple[Block, ...]:
    """The blocks in the roles that the longest fitting beginning of their names has."""
    if roles is None:
        return tuple(blocks)
    if isinstance(roles, Mapping):
        roles = {one_level(str(prefix)): role for prefix, role in roles.items()}
    remedy = "name blocks as they are in the tree, with dots between the keys"
    check_roles(roles, [block.name for block in blocks], "block", SEPARATORS, remedy)
    return tuple(replace(block, role=role_of(block.name, roles, SEPARATORS, block.role)) for block in blocks)


def _asarray(values: Any, name: str) -> NDArray[Any]:
    if np.ma.is_masked(values):
        got = f"a mask on {np.count_nonzero(np.ma.getmaskarray(values))} entries"
        raise UsageError(name, expected="numbers without a mask", got=got, remedy="leave out these samples")
    if values is None:
        raise UsageError(name, expected="an array of numbers", got="None", remedy="give one, or leave it out")
    try:
        array: NDArray[Any] = np.asarray(values)
    except Exception as error:  # rows of several lengths, and whatever __array__ raises
        reason = first_line(error)
        raise UsageError(
            name,
            expected="what numpy.asarray takes",
            got=f"a {type(values).__name__} that it does not ({reason})",
            remedy="give an array in memory",
        ) from error
    return array


def _shape(sizes: tuple[int, ...], more: str = "") -> str:
    return "(" + ", ".join([*map(str, sizes), *([more] if more else [])]) + ")"


def _wrong_shape(where: str, expected: str, got: NDArray[Any], remedy: str) -> UsageError:
    return UsageError(where, expected=f"an array {expected}", got=f"shape {got.shape}", remedy=remedy)
