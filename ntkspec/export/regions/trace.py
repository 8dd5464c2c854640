"""Follow a forward pass operation by operation: whether it is piecewise linear, and on which pieces.

The operations are seen below autograd, where functions, methods and modules look alike. An operation behind
the encoding that is not known to be affine or piecewise linear makes the pass unknown.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from ntkspec.export.regions.margins import Margins, Number
from ntkspec.export.regions.operations import (
    BLANKS,
    COMPARISONS,
    MAPS,
    MOVES,
    PIECES,
    PRODUCTS,
    REDUCTIONS,
    SUMS,
    Call,
    tensors_in,
)


class _Kind(Enum):
    """What a tensor depends on; a tensor without a kind is a constant."""

    TRAINABLE = "parameters of the network, and no sample"
    FREE = "samples, by the encoding"
    AFFINE = "an affine function of e in each region; as many rows for each sample, in order"
    PATTERN = "a function of the region"


class _UnknownOperation(Exception):
    """The result of an operation has none of the kinds."""


class Trace(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Follows a forward pass. Kinds belong to storages, so views, and what is written through them, agree."""

    def __init__(self, x: Tensor, trainable: Sequence[Tensor], linear: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # untyped in torch
        self.known = True
        self.certain = True  # the rounding errors of all that is behind the encoding are bounded
        self.bits: list[NDArray[np.uint8]] = []  # of each activation: (n, bytes)
        self.steps: list[tuple[str, list[torch.Size]]] = []  # behind e: operations, and rows of their results
        self._samples = len(x)
        self._margins = Margins(len(x))
        self._linear = {_key(parameter) for parameter in linear}
        self._encoded: Tensor | None = None  # e
        # The storages are kept, too, so that no new one can get the key of one that was freed.
        self._kinds: dict[int, tuple[_Kind, torch.UntypedStorage]] = {}
        for kind, tensors in ((_Kind.TRAINABLE, trainable), (_Kind.FREE, [x])):
            self._kinds.update({_key(tensor): (kind, tensor.untyped_storage()) for tensor in tensors})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: else torch imports its compiler, for seconds, only to make it ignore this class."""
        return False

    def follow(self, model: nn.Module, x: Tensor) -> None:
        """Fill `bits` and `steps` from the forward pass of `model` at x (n, d), if that is `known`."""
        with self._doubt():
            with self:
                outputs = model(x)
            if self._kind(outputs) is not _Kind.AFFINE or _has_own_derivative(outputs, self._encoded):
                raise _UnknownOperation
        self._encoded = None
        self._kinds.clear()
        self._margins.forget()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call, kind, error = Call(func, args, kwargs or {}), None, None
        if self.known:  # before the operation, which may be in place
            with self._doubt():
                kind = self._classify(call)
                error = self._error(call, kind)
        result = func(*call.args, **call.kwargs)
        if self.known:
            with self._doubt():
                self._keep(call, kind, tensors_in(result))
                if error is not None:
                    self._margins.keep(tensors_in(result), error)
                    self.certain &= not _narrows(call, tensors_in(result))
        return result

    def _error(self, call: Call, kind: _Kind | None) -> Number | None:
        """Bound the error of what an operation makes of the parameters, or behind the encoding; else None."""
        if kind is _Kind.AFFINE:
            return self._margins.after(call)
        if kind is not _Kind.TRAINABLE or not any(tensor.is_floating_point() for tensor in call.tensors):
            return None
        if call.name in MOVES and self._margins.exact(call.tensors):
            return None
        if not self._margins.follows(call):
            self.certain = False  # such as a norm of weights: its rounding is not known here
            return None
        return self._margins.after(call)

    @property
    def uncertain(self) -> NDArray[np.bool_]:
        """Return whether rounding could have put each sample into another region: bool (n,)."""
        return self._margins.uncertain.numpy()

    @contextlib.contextmanager
    def _doubt(self) -> Iterator[None]:
        """Hide exceptions from the model, which might catch them, and give up following it instead."""
        try:
            yield
        except Exception:
            self.known = False

    def _classify(self, call: Call) -> _Kind | None:
        """Return the kind of the operation's result."""
        kinds = {self._kind(tensor) for tensor in call.tensors}
        if _Kind.FREE in kinds and kinds & {_Kind.AFFINE, _Kind.PATTERN}:
            raise _UnknownOperation  # it depends on the sample in another way than by e
        kind: _Kind | None
        if call.name in BLANKS:
            kind = None
        elif _Kind.AFFINE in kinds:
            kind = self._pass(call)
        elif _Kind.FREE in kinds and _Kind.TRAINABLE in kinds:
            kind = self._begin(call)
        else:
            strongest = (_Kind.PATTERN, _Kind.FREE, _Kind.TRAINABLE)
            kind = next((candidate for candidate in strongest if candidate in kinds), None)
        for tensor in call.written:
            if kind is _Kind.AFFINE and self._stored(tensor) is not _Kind.AFFINE:
                raise _UnknownOperation  # which rows the rest of that storage has is not known
        return kind

    def _begin(self, call: Call) -> _Kind:
        """Return the kind of the first Linear layer's result; e is its left factor, which is remembered."""
        place = {"mm": 0, "addmm": 1}.get(call.name)
        if place is None or self._encoded is not None or len(call.args[place]) != self._samples:
            raise _UnknownOperation
        if self._kind(call.args[place + 1]) is not _Kind.TRAINABLE:
            raise _UnknownOperation
        for i, tensor in enumerate(call.tensors):
            kind = self._kind(tensor)
            foreign = kind is _Kind.TRAINABLE and _key(tensor) not in self._linear
            if foreign or (kind is _Kind.FREE) != (i == place):
                raise _UnknownOperation
        self._encoded = call.args[place]
        return _Kind.AFFINE

    def _pass(self, call: Call) -> _Kind:
        """Return the kind of an operation on something affine, and record the pieces of an activation."""
        name, writes = call.name, bool(call.written)
        affine = [i for i, tensor in enumerate(call.tensors) if self._kind(tensor) is _Kind.AFFINE]
        if name in REDUCTIONS and not all(dim % call.args[0].ndim for dim in call.args[1] or [0]):
            raise _UnknownOperation  # over samples
        if name in COMPARISONS and not writes:
            self._margins.decide(call)
            self._record(call.func(*call.args, **call.kwargs))
            return _Kind.PATTERN
        if name in PIECES and (affine == [0] or name in ("maximum", "minimum")):
            self._margins.decide(call)
            for piece in PIECES[name](*call.args, **call.kwargs):
                self._record(piece)
        elif name in MOVES and not writes:
            self._check_move(call)
        elif not (
            name in SUMS
            or (name in PRODUCTS and len(affine) == 1)
            or (name in MAPS and affine == [0] and not call.kwargs.get("rounding_mode"))
            or (name == "addmm" and 2 not in affine)
        ):
            raise _UnknownOperation
        return _Kind.AFFINE

    def _record(self, pieces: Tensor) -> None:
        self.bits.append(np.packbits(pieces.reshape(self._samples, -1).cpu().numpy(), axis=1))

    def _check_move(self, call: Call) -> None:
        """Refuse a move that would change the order of samples; it is tried on the samples' numbers."""

        def numbers(value: Any) -> Any:
            moves = isinstance(value, Tensor) and value.is_floating_point()  # others are indices
            return self._numbers(value) if moves else value

        moved = call.func(*tree_map(numbers, call.args), **tree_map(numbers, call.kwargs))
        if not all(torch.equal(result, self._numbers(result)) for result in tensors_in(moved)):
            raise _UnknownOperation

    def _numbers(self, tensor: Tensor) -> Tensor:
        """Return the sample that each entry of a tensor belongs to, in the tensor's shape."""
        rows_each, rest = divmod(len(tensor), self._samples)
        if rest:
            raise _UnknownOperation
        numbers = torch.arange(self._samples, device=tensor.device).repeat_interleave(rows_each)
        return numbers.view(-1, *[1] * (tensor.ndim - 1)).expand(tensor.shape).contiguous()

    def _keep(self, call: Call, kind: _Kind | None, results: list[Tensor]) -> None:
        """Keep the kind of an operation's results; a view has that of its storage."""
        if kind is None:
            return
        if self._encoded is not None and kind is not _Kind.TRAINABLE:
            if not results:
                raise _UnknownOperation  # a number by which the forward pass may decide
            self.steps.append((call.name, [tensor.shape[1:] for tensor in results]))
        if kind is _Kind.AFFINE and any(tensor.dtype != self._dtype for tensor in results):
            raise _UnknownOperation  # rounded
        if call.name not in MOVES | REDUCTIONS:
            affine = [tensor for tensor in call.tensors if self._kind(tensor) is _Kind.AFFINE]
            for argument, result in itertools.product(affine, results):
                if argument.ndim != result.ndim or len(argument) != len(result):
                    raise _UnknownOperation  # broadcast over samples
        for tensor in (*results, *call.written):
            if self._stored(tensor) is None:
                self._kinds[_key(tensor)] = kind, tensor.untyped_storage()

    @property
    def _dtype(self) -> torch.dtype | None:
        return None if self._encoded is None else self._encoded.dtype

    def _kind(self, tensor: Tensor) -> _Kind | None:
        if self._encoded is not None and _same(tensor, self._encoded):
            return _Kind.AFFINE  # though the rest of its storage may be no part of e
        return self._stored(tensor)

    def _stored(self, tensor: Tensor) -> _Kind | None:
        kind, _ = self._kinds.get(_key(tensor), (None, None))
        return kind


def _key(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _same(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors are the same view of the same storage."""
    return (
        _key(a) == _key(b)
        and a.shape == b.shape
        and a.stride() == b.stride()
        and a.storage_offset() == b.storage_offset()
    )


def _narrows(call: Call, results: Sequence[Tensor]) -> bool:
    """Return whether results have fewer digits than an argument; no rule bounds how these are rounded."""

    def steps(tensors: Sequence[Tensor]) -> list[float]:
        return [torch.finfo(each.dtype).eps if each.is_floating_point() else math.inf for each in tensors]

    return max(steps(results), default=0.0) > min(steps(call.tensors), default=math.inf)


def _has_own_derivative(outputs: Tensor, encoded: Tensor | None) -> bool:
    """Return whether outputs depend on e through an autograd function of the caller's.

    The derivative of such a function may be anything.
    """
    seen: set[Any] = {None, None if encoded is None else encoded.grad_fn}
    nodes: list[Any] = [outputs.grad_fn]
    while nodes:
        node = nodes.pop()
        if isinstance(node, BackwardCFunction):
            return True
        if node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
    return False
