"""Run files: the HDF5 contract of docs/run-format.md, read and written."""

from ntkspec.store.reader import Run, Snapshot, open_run
from ntkspec.store.writer import RunWriter, SnapshotWriter, check_writable

__all__ = ["Run", "RunWriter", "Snapshot", "SnapshotWriter", "check_writable", "open_run"]
