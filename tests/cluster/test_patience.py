"""How long a batch on this machine waits without any worker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ntkspec.cluster import pool
from ntkspec.errors import ClusterError


def test_no_worker_is_waited_for_once_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose workers are gone must not wait for each of its files anew."""
    time = SimpleNamespace(monotonic=lambda: clock[0])
    monkeypatch.setattr(pool, "time", time)
    clock, scheduler = [0.0], {"n_workers": 0}
    client = SimpleNamespace(status="running", _scheduler_identity=scheduler)
    workers = pool.Workers(None, 2, "here", client, _patience=pool.Patience(120.0))
    for seconds, underway in ((0.0, 0), (300.0, 1), (400.0, 1), (420.0, 0)):  # nothing waited before 300
        clock[0] = seconds
        workers.check(underway)
    clock[0] = 420.5
    for underway in (1, 0, 2):
        with pytest.raises(ClusterError, match=r"got none in 120\.0 s"):
            workers.check(underway)
    scheduler["n_workers"] = 1
    workers.check(3)
    scheduler["n_workers"] = 0
    workers.check(3)
