"""Export a PyTorch model's per-sample Jacobian, to memory or to a run file. Needs the extra `torch`.

`prepare` copies the model. `probe` computes a few samples: `uses` reads off autograd's graph how each
parameter is used, `forms` says what form that gives its Jacobian, and `plans` makes blocks of them.
`driver` takes the samples chunk by chunk through `compute`, which has the blocks made (`factored`,
`matrices`, `dense`) and compares each with plain autograd, and hands the chunks to `exporter` or
`in_memory`. What disproves the plan raises `plans.Replan`: the export starts again with a better one.

A name loads its module, and PyTorch, when it is first used: `python -m ntkspec.export` imports this package
first, and must be able to print its help or an error without them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ntkspec.extras import needs_torch

if TYPE_CHECKING:  # the table below, for type checkers and editors
    from ntkspec.export.driver import forecast as forecast
    from ntkspec.export.exporter import RunExporter as RunExporter
    from ntkspec.export.exporter import SnapshotSummary as SnapshotSummary
    from ntkspec.export.foretold import Forecast as Forecast
    from ntkspec.export.in_memory import jacobian as jacobian
    from ntkspec.export.prepare import ExportWarning as ExportWarning
    from ntkspec.export.recorder import Recorder as Recorder

HOMES = {  # public name -> the module that it is loaded from
    "ExportWarning": "ntkspec.export.prepare",
    "Forecast": "ntkspec.export.foretold",
    "Recorder": "ntkspec.export.recorder",
    "RunExporter": "ntkspec.export.exporter",
    "SnapshotSummary": "ntkspec.export.exporter",
    "forecast": "ntkspec.export.driver",
    "jacobian": "ntkspec.export.in_memory",
}
__all__ = [*HOMES]


def __getattr__(name: str) -> object:
    """Load a public name (PEP 562).

    Raises:
        NotInstalledError: there is no PyTorch; it is an `ImportError`.
    """
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needs_torch(__name__):
        import torch  # noqa: F401 - first, and here, where it can be said what to do without
    value: object = getattr(importlib.import_module(HOMES[name]), name)
    globals()[name] = value  # from now on without this function
    return value


def __dir__() -> list[str]:
    """Name what is there and what can be loaded."""
    return sorted({*globals(), *HOMES})
