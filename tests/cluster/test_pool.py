"""How many jobs are submitted ahead, how long they wait for workers, and what workers here are given."""

import contextlib
import logging
from types import SimpleNamespace

import needs
import pytest

from ntkspec.cluster.jobs import Patience, Workers
from ntkspec.errors import ClusterError


def client(workers, status="running"):
    """Stand in for Dask's, with so many workers at its scheduler; None: it has not answered yet."""
    known = {} if workers is None else {"n_workers": workers}
    return SimpleNamespace(status=status, _scheduler_identity=known)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at its `now`."""
    stands = SimpleNamespace(now=10.0)
    monkeypatch.setattr("ntkspec.cluster.jobs.time.monotonic", lambda: stands.now)
    return stands


@pytest.mark.parametrize(("there", "ahead"), [(None, 6), (0, 6), (3, 6), (5, 10)])
def test_two_jobs_are_submitted_for_each_worker(there, ahead):
    workers = Workers(None, 3, "here", client(there))
    assert (workers.connected(), workers.ahead()) == (there or 0, ahead)


def test_patience_ends_after_an_unbroken_wait(clock):
    """Begun by a job that waits; a batch that goes on to its next file does not wait for workers anew."""
    patience = Patience(2.0)
    for now, workers, waiting, ended in [
        (10.0, False, False, False),
        (20.0, False, True, False),
        (22.0, False, False, False),
        (22.5, False, False, True),
        (22.6, False, True, True),
        (23.0, True, True, False),
        (30.0, False, True, False),
        (32.5, False, True, True),
    ]:
        clock.now = now
        assert patience.ends(workers=workers, waiting=waiting) == ended


def test_only_jobs_that_wait_for_a_worker_wear_patience_out(clock):
    for underway, there, ended in [(0, 0, False), (1, 1, False), (1, 0, True)]:
        workers = Workers(None, 1, "here", client(there), _patience=Patience(2.0))
        workers.check(underway)
        clock.now += 3.0
        raised = pytest.raises(ClusterError, match=r"others to start when all have died, got none in 2\.0 s")
        with raised if ended else contextlib.nullcontext():
            workers.check(underway)
    workers = Workers(None, 1, "here", client(0), _patience=Patience(2.0))
    for _ in range(2):  # without a word on jobs there are none
        workers.check()
        clock.now += 3.0


def test_the_last_refusal_is_said_where_no_worker_is_connected():
    refused = ["no such account", "no such partition"]
    Workers(None, 2, "here", client(1), refused).check()
    with pytest.raises(ClusterError, match="sbatch: expected to take the jobs, got no such partition"):
        Workers(None, 2, "here", client(0), refused).check()


def test_a_scheduler_that_is_gone_is_said():
    with pytest.raises(ClusterError, match="here: expected a scheduler that answers, got its end"):
        Workers(None, 1, "here", client(1, status="closed")).check()


@needs.dask
@pytest.mark.parametrize(
    ("cores", "count", "threads", "share"), [(5, 2, None, "2"), (2, 7, None, "1"), (2, 7, 3, "3")]
)
def test_workers_here_share_the_cores_and_say_nothing(cores, count, threads, share, monkeypatch):
    from ntkspec.cluster import local

    asked = {}

    @contextlib.contextmanager
    def cluster(**options):
        yield SimpleNamespace(adapt=lambda **numbers: asked.update(options, numbers=numbers))

    monkeypatch.setattr("distributed.SpecCluster", cluster)
    monkeypatch.setattr("distributed.Security.temporary", lambda: None)
    monkeypatch.setattr(local, "cores_here", lambda: cores)
    with local.processes(count, threads):
        assert asked["numbers"] == {"minimum": count, "maximum": count}
    assert [*asked["workers"]] == [*range(count)]
    options = [worker["options"] for worker in asked["workers"].values()]
    assert {worker["env"]["OMP_NUM_THREADS"] for worker in options} == {share}
    assert all(worker["nthreads"] == 1 and worker["memory_limit"] == 0 for worker in options)
    assert asked["scheduler"]["options"]["port"] == 0  # any that is free
    assert min(asked["silence_logs"], *(worker["silence_logs"] for worker in options)) > logging.CRITICAL
