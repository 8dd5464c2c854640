"""Compare the leaves that the outputs depend on with the parameters that are exported.

Autograd differentiates with respect to layers in a plain list and tensors in a dict, a closure or another
object, but `parameters()` does not name them, and the kernel without them would be another one.
"""

from __future__ import annotations

from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.evaluation import evaluate
from ntkspec.export.graph import leaves
from ntkspec.export.prepare import REGISTER, Prepared
from ntkspec.export.reach import reach


class UnregisteredError(ExportError):
    """The error of outputs that depend on a trainable tensor which is not exported."""


def require_registered(prepared: Prepared, x: Tensor, outputs: Tensor) -> None:
    """Raise an error if the outputs at x (n, d) depend on a tensor that is not exported.

    Raises:
        UnregisteredError: they have a gradient at such a tensor.
    """
    exported = {id(owned.parameter) for owned in prepared.trainable}
    strange = [leaf for leaf in leaves(outputs) if id(leaf) not in exported]
    if strange:  # such as a copy of x to differentiate by, which every forward pass makes anew
        again = {id(leaf): leaf for leaf in leaves(evaluate(prepared.model, x))}
        strange = [leaf for leaf in strange if again.get(id(leaf)) is leaf]
    if strange:
        raise _unregistered(prepared, strange)


def _unregistered(prepared: Prepared, strange: list[Tensor]) -> UnregisteredError:
    leaf, more = max(strange, key=Tensor.numel), len(strange) - 1
    place = _place(prepared, leaf)
    if any(leaf is copied for copied in prepared.derived):
        return UnregisteredError(
            f"attribute {place}" if place else "model",
            expected="tensors that are parameters, buffers or constants",
            got="one that was computed from parameters outside the forward pass",
            remedy="compute it in forward",
        )
    original = next((name for name, p in prepared.source.named_parameters() if p is leaf), None)
    if original is not None:
        return UnregisteredError(
            "model",
            expected="a forward pass that uses the model's own copy of its parameters",
            got=f"{original} of the model that was copied, by a function that keeps hold of it",
            remedy="use self in forward instead of functions stored on the model that refer to its layers",
        )
    return UnregisteredError(
        "model",
        expected="outputs that depend on no trainable tensor but parameters()",
        got=f"one of shape {tuple(leaf.shape)}{f' at {place}' if place else ''} that is not registered"
        + (f", and {more} more" if more else ""),
        remedy=REGISTER,
    )


def _place(prepared: Prepared, leaf: Tensor) -> str:
    return next((path for path, value in reach(prepared.model) if value is leaf), "")
