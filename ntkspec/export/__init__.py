"""Export a PyTorch model's per-sample Jacobian, to memory or to a run file. Needs the extra `torch`."""

from ntkspec.extras import needs_torch

with needs_torch("ntkspec.export"):
    import torch  # noqa: F401 - first, and here, where it can be said what to do without

from ntkspec.export.exporter import RunExporter, SnapshotSummary
from ntkspec.export.in_memory import jacobian
from ntkspec.export.prepare import ExportWarning

__all__ = ["ExportWarning", "RunExporter", "SnapshotSummary", "jacobian"]
