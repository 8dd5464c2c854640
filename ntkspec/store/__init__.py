"""Run files: the HDF5 contract of docs/run-format.md, read and written."""

from ntkspec.store.from_arrays import write_run
from ntkspec.store.reader import Run, open_run
from ntkspec.store.snapshot_reader import Snapshot
from ntkspec.store.snapshot_writer import SnapshotWriter
from ntkspec.store.writer import RunWriter

__all__ = ["Run", "RunWriter", "Snapshot", "SnapshotWriter", "open_run", "write_run"]
