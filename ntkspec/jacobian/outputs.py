"""Output modes: how a Jacobian (n, c, p) of c outputs becomes a kernel.

| mode    | kernel                                   | size    | rows per sample |
| ------- | ---------------------------------------- | ------- | --------------- |
| "trace" | K[i, j] = sum_o J[i, o] . J[j, o]        | n x n   | 1               |
| "full"  | row i*c + o is J[i, o] (sample-major)    | nc x nc | c               |
| int o   | output o alone                           | n x n   | 1               |
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ntkspec.errors import UsageError, shown

Outputs = Literal["trace", "full"] | int


def check_outputs(outputs: Outputs, c: int) -> Outputs:
    """Return `outputs` if it is a mode for c outputs.

    Raises:
        UsageError: it is not.
    """
    if isinstance(outputs, str) and outputs in ("trace", "full"):
        return outputs
    if isinstance(outputs, int | np.integer) and not isinstance(outputs, bool) and 0 <= outputs < c:
        return int(outputs)
    raise UsageError(
        "⟦--outputs⟧",
        expected=f"'trace', 'full' or an output number from 0 to {c - 1}",
        got=shown(outputs),
    )


def rows_per_sample(outputs: Outputs, c: int) -> int:
    """Return the rows of the kernel that one sample has: c for "full", otherwise 1."""
    return c if outputs == "full" else 1
