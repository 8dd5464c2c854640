"""A check that a model is at the end of its export the function that it was at the start.

A forward pass may change the model, such as a schedule that counts the calls. Each export has a copy of the
model, whose chunks would then be Jacobians of different functions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from ntkspec.errors import ExportError
from ntkspec.export.evaluation import evaluate
from ntkspec.export.gradients import gradients_at, random_cotangents
from ntkspec.export.plans import Choices
from ntkspec.export.prepare import Prepared
from ntkspec.export.tolerance import Difference, Tolerance


@dataclass(frozen=True, eq=False)
class Start:
    """What a model gave at the start of its export, at a few samples."""

    x: Tensor  # (m, d)
    outputs: Tensor  # (m, c), without their graph
    sizes: dict[str, float]  # of each parameter's gradient for random cotangents: the sum of absolute values
    tables: frozenset[str]  # parameters that are used by lookups alone

    @classmethod
    def of(cls, prepared: Prepared, x: Tensor, tables: Collection[str]) -> Start:
        """Evaluate the model at x (m, d), and differentiate it."""
        outputs = evaluate(prepared.model, x)
        gradients = gradients_at(prepared, outputs, random_cotangents(outputs), tables)
        sizes = {name: _size(gradient) for name, gradient in gradients.items()}
        return cls(x, outputs.detach(), sizes, frozenset(tables))

    def require(self, prepared: Prepared, choices: Choices) -> None:
        """Compare the model with what it gave at the start.

        Raises:
            ExportError: it gives other outputs or gradients.
        """
        now = Start.of(prepared, self.x, self.tables)
        whole = max(self.sizes.values())
        differences = [Difference.from_tensors(now.outputs - self.outputs, self.outputs)]
        pairs = [(size, now.sizes[name]) for name, size in self.sizes.items()]
        differences += [Difference(abs(new - old), max(old, new), whole) for old, new in pairs]
        worst = Tolerance.from_dtype(prepared.dtype, single=choices.single).dense.worst(differences)
        if worst:
            raise ExportError(
                "model",
                expected="the same outputs and gradients for the same inputs",
                got=f"others at the end of the export than at its start, by {worst:.1e} (relative)",
                remedy="let forward change no state in eval mode, such as a count of its calls: "
                "if self.training: self.calls += 1",
            )


def _size(gradient: Tensor | None) -> float:
    """Return the sum of absolute values, from which rounding takes no digits."""
    if gradient is None:
        return 0.0
    return float((gradient.values() if gradient.is_sparse else gradient).abs().sum())
