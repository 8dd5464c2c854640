"""Activation regions of a piecewise-linear network, numbered sample by sample.

Behind an encoding e(x), affine maps and piecewise-linear activations are a function A e + b in each region,
that is, where every activation is on one of its linear pieces (Montufar, Pascanu, Cho and Bengio 2014; Hanin
and Rolnick 2019). There A and b depend on the parameters alone, so the Jacobian is affine in e, too. A
network with any operation behind e that is not known to be affine or piecewise linear has no regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ntkspec.export.plans import BlockPlan, Choices, Replan
from ntkspec.export.regions.trace import Trace


class Regions:
    """The regions of one snapshot, numbered over all its chunks: 0, 1, ..., in order of appearance.

    A sample whose pattern rounding could change is a region by itself.

    e is the input of the first `nn.Linear` with a trainable weight. What comes before is the encoding: any
    function of the sample, whose only trainable parameters are those in the role "grid".
    """

    def __init__(self, model: nn.Module, plans: Sequence[BlockPlan], choices: Choices) -> None:
        network = [plan for plan in plans if plan.role != "grid"]
        self._model, self._choices = model, choices
        self._trainable = [owned.parameter for plan in network for owned in plan.owned]
        self._linear = [o.parameter for plan in network if plan.kind == "linear" for o in plan.owned]
        self._labels: dict[bytes, int] = {}
        self._first: Trace | None = None

    @property
    def count(self) -> int | None:
        """Return the number of distinct regions so far; None if the network has no regions."""
        return len(self._labels) or None

    @property
    def certain(self) -> bool:
        """Return whether all samples are known that rounding could have put into other regions.

        It is known after the first chunk.
        """
        return self._first is not None and self._first.certain

    def of(self, x: Tensor) -> NDArray[np.int64] | None:
        """Return the regions (n,) of the samples x (n, d); None if the first chunk has none.

        Raises:
            Replan: a later chunk has none, or takes other steps to them; it is planned anew without regions.
        """
        if not self._choices.regions or (self._first is not None and not self._first.known):
            return None
        trace = Trace(x, self._trainable, self._linear)
        trace.follow(self._model, x)
        if self._first is None:
            self._first = trace
        elif not trace.known or trace.steps != self._first.steps:
            raise Replan(replace(self._choices, regions=False))
        bits, trace.bits = trace.bits, []
        if not trace.known:
            return None
        patterns = np.concatenate([np.empty((len(x), 0), np.uint8), *bits], axis=1)
        rows = zip(patterns, trace.uncertain, strict=True)
        return np.array([self._number(row.tobytes(), alone) for row, alone in rows], dtype=np.int64)

    def _number(self, pattern: bytes, alone: bool) -> int:
        """Return the region of a pattern; a sample that rounding could move to another has its own region."""
        new = len(self._labels)
        return self._labels.setdefault(b"%d alone" % new if alone else b"in " + pattern, new)
