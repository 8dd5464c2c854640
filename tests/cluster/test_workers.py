"""Workers: whatever the cluster, jobs come back, also those of workers that are lost."""

import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import machine
import needs
import psutil
import pytest

from ntkspec.cluster.jobs import Workers, run_jobs
from ntkspec.cluster.workers import Cluster
from ntkspec.errors import ClusterError, RunFileError, UsageError

pytestmark = needs.dask
NAMES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "NTKSPEC_PROCESSES_HERE", "CUDA_VISIBLE_DEVICES")
HERE = os.pathsep.join(map(str, Path(__file__).parents[:2]))  # of this module and its imports, for workers


@pytest.fixture(scope="module")
def two():
    """A job is tried on two of them before it is taken for deadly, not on four."""
    import dask

    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        with Cluster("local", 2, threads=3).start() as workers:
            yield workers


def over(workers, work, jobs):
    return run_jobs(workers.executor, work, jobs, ahead=workers.ahead, watch=workers.check)


def whom(_):
    time.sleep(0.05)
    return os.getpid(), *(os.environ[name] for name in NAMES)


def fails(number):
    if number == 1:
        raise RunFileError("x", expected="a", got="b", remedy="c")
    return number / (number - 2)


def dies_once(place):
    mark = Path(place)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return place


def always_dies(_):
    os._exit(3)


def test_jobs_go_to_all_workers_which_know_their_share(two):
    ends = list(over(two, whom, range(12)))
    assert sorted(ended.job for ended in ends) == list(range(12))
    assert len({ended.answer[0] for ended in ends}) == 2
    assert {ended.answer[1:] for ended in ends} == {("3", "3", "2", "")}


def test_no_worker_looks_at_the_stacks_of_its_threads(two, tmp_path):
    """Neither those there are nor one that comes later: Python 3.11.8 and older may stop for ever over it."""
    assert len(list(over(two, dies_once, [str(tmp_path / "once")]))) == 1
    two._client.wait_for_workers(2, timeout=machine.PATIENT)
    of_each = two._client.run(lambda dask_worker: list(dask_worker.periodic_callbacks))
    assert len(of_each) == 2
    assert all(
        "heartbeat" in names and not {"profile", "profile-cycle"} & {*names} for names in of_each.values()
    )


def test_what_a_job_raises_is_its_end_alone(two):
    ends = {ended.job: ended for ended in over(two, fails, range(4))}
    assert isinstance(ends[1].error, RunFileError)
    assert str(ends[1].error) == "x: expected a, got b; c"
    assert isinstance(ends[2].error, ZeroDivisionError)
    assert (ends[3].answer, ends[3].error) == (3.0, None)


def test_what_a_lost_worker_had_is_done_again(two, tmp_path):
    places = [str(tmp_path / str(number)) for number in range(3)]
    ends = list(over(two, dies_once, places))
    assert sorted(ended.answer for ended in ends) == places


def test_all_workers_that_died_and_did_not_come_back_are_replaced(tmp_path, monkeypatch):
    """On a busy machine a worker may take longer to start again than Dask waits for it.

    Where no other starts either, the jobs end with an error in a line.
    """
    import dask

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "10ms"}):
        with Cluster("local", 1).start() as workers:
            (ended,) = over(workers, dies_once, [str(tmp_path / "mark")])
            assert ended.error is None
            monkeypatch.setattr("distributed.Nanny.instantiate", _never)
            workers._patience.seconds = 0.1
            said = (
                r"workers on this machine: expected others to start when all have died, got none in 0\.1 s;"
            )
            with pytest.raises(ClusterError, match=said):
                list(over(workers, always_dies, [None]))


async def _never(nanny):
    raise RuntimeError("no room")


def test_a_job_that_kills_all_its_workers_does_not_stop_the_others(two):
    ends = [*over(two, always_dies, ["deadly"]), *over(two, whom, ["harmless"])]
    assert isinstance(ends[0].error, ClusterError)
    assert "the death of every worker that tried" in str(ends[0].error)
    assert ends[1].error is None


def test_few_jobs_are_underway_at_a_time():
    """However many there are, and they are drawn when there is room for them."""
    drawn = []
    executor = SimpleNamespace(submit=lambda work, job: _done(work(job)))
    jobs = (drawn.append(number) or number for number in range(1000))
    for number, ended in enumerate(run_jobs(executor, str, jobs, ahead=lambda: 4), 1):
        assert ended.answer == str(ended.job)
        assert len(drawn) <= number + 4
    assert len(drawn) == 1000


def _done(answer):
    future = Future()
    future.set_result(answer)
    return future


def test_a_lost_scheduler_ends_the_work_and_cancels_the_rest():
    left = [Future() for _ in range(2)]
    waiting = iter(left)

    def watch(underway):
        assert underway == 2
        raise ClusterError("the scheduler", expected="life", got="its end", remedy="start it")

    executor = SimpleNamespace(submit=lambda work, job: next(waiting))
    with pytest.raises(ClusterError, match="its end"):
        list(run_jobs(executor, str, range(5), ahead=lambda: 2, watch=watch))
    assert all(future.cancelled() for future in left)


def test_a_gpu_for_each_worker(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", machine.commands(tmp_path, nvidia_smi=machine.SMI))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # for the locks
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Cluster("local", profile="gpu").start() as workers:
        ends = list(over(workers, whom, range(8)))
    assert workers.count == 2
    assert {ended.answer[-1] for ended in ends} == {"GPU-11111111-aaaa", "GPU-22222222-bbbb"}


def running(pid):
    """Whether a process is there that has not ended; one whose parent has not asked after it has."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_jobs_of_slurm(tmp_path, monkeypatch):
    """By a stand-in for sbatch: each job runs a worker, with what the profile asks for, and is cancelled."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", machine.slurm(tmp_path / "bin"))
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    (tmp_path / "mine.toml").write_text(
        'gpus = 0\n[slurm]\ncpus = 5\nmemory_gib = 1\nwalltime = "00:10:00"\n'
    )
    with Cluster("slurm", 2, str(tmp_path / "mine.toml")).start() as workers:
        ends = list(over(workers, whom, range(8)))
    assert [ended.error for ended in ends] == [None] * 8
    assert {ended.answer[1:] for ended in ends} == {("5", "5", "1", "")}
    pids = [int(pid) for path in (tmp_path / "bin").glob("*.pids") for pid in path.read_text().split()]
    assert len(pids) == 2
    wait_until(lambda: not any(map(running, pids)))


def test_a_gpu_for_each_job_of_slurm(tmp_path, monkeypatch):
    """A worker that finds no device of its own takes no jobs, and the others do them all."""
    monkeypatch.chdir(tmp_path)
    smi = machine.commands(tmp_path / "driver", nvidia_smi=machine.SMI)
    monkeypatch.setenv("PATH", f"{machine.slurm(tmp_path / 'bin')}{os.pathsep}{smi}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    with Cluster("slurm", 3, "gpu").start() as workers:
        wait_until(lambda: workers.connected() == 3)
        ends = list(over(workers, whom, range(8)))
    assert {ended.answer[-1] for ended in ends} == {"GPU-11111111-aaaa", "GPU-22222222-bbbb"}
    assert os.listdir(tmp_path / "slurm-logs") == []  # no keys are left


def test_workers_none_of_which_has_a_device():
    """They take no jobs, so that waiting would have no end once all have come."""
    first, second = (SimpleNamespace(status=SimpleNamespace(name=name)) for name in ("paused", "running"))
    scheduler = SimpleNamespace(workers={1: first, 2: second})
    client = SimpleNamespace(
        status="running", _scheduler_identity={}, run_on_scheduler=lambda function: function(scheduler)
    )
    two, three = (Workers(None, count, "here", client, _gpus=1) for count in (2, 3))
    two.check(1)
    second.status.name = "paused"
    three.check(1)  # one is still to come
    with pytest.raises(
        ClusterError, match="expected a device for one of them at least, got none for any of 2"
    ):
        two.check(1)


def wait_until(there):
    deadline = time.monotonic() + machine.PATIENT
    while not there() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert there()


@pytest.mark.slow  # twenty seconds, in which Dask notices
def test_jobs_of_slurm_that_end_early_are_submitted_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", machine.slurm(tmp_path / "bin"))
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    with Cluster("slurm", 1).start() as workers:
        wait_until(lambda: workers.connected() == 1)
        (first,) = (tmp_path / "bin").glob("*.pids")
        os.killpg(int(first.read_text()), signal.SIGKILL)
        wait_until(lambda: len(list((tmp_path / "bin").glob("*.pids"))) == 2)
        assert [ended.error for ended in over(workers, whom, range(2))] == [None] * 2


def test_slurm_that_takes_no_jobs(tmp_path, monkeypatch):
    """What sbatch said comes at once: a wrong partition would keep the command waiting for ever."""
    monkeypatch.chdir(tmp_path)
    refusing = "#!/bin/sh\necho 'sbatch: error: invalid partition: x' >&2\nexit 1\n"
    monkeypatch.setenv("PATH", machine.commands(tmp_path / "bin", sbatch=refusing))
    said = "sbatch: expected to take the jobs, got sbatch: error: invalid partition: x; see the profile"
    with pytest.raises(ClusterError, match=said), Cluster("slurm", 2).start() as workers:
        list(over(workers, whom, range(3)))


def test_workers_that_die_while_they_start(monkeypatch):
    """Once is no matter, three times are a line; the signal mask of this process is as it was."""
    from distributed import SpecCluster

    tried = []

    def once(**options):
        tried.append(options)
        if len(tried) == 1:
            raise RuntimeError("Nanny failed to start.")
        return SpecCluster(**options)

    monkeypatch.setattr("distributed.SpecCluster", once)
    with Cluster("local", 1).start() as workers:
        assert [ended.error for ended in over(workers, whom, range(2))] == [None, None]
    assert len(tried) == 2
    monkeypatch.setattr("distributed.SpecCluster", lambda **options: once(**tried.clear() or options))
    with pytest.raises(ClusterError, match="1 workers: expected processes that start, got an end of some, 3"):
        with Cluster("local", 1).start():
            pass
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="expected the command sbatch, got none on the PATH"):
        with Cluster("slurm", 2).start():
            pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"place": "pbs"}, "expected local, slurm or a scheduler's address.* got 'pbs'"),
        ({"place": "slurm"}, "expected workers beside it"),
        ({"place": "tcp://x:1", "workers": 3}, "workers: expected a number for local or slurm"),
    ],
)
def test_refusals(words, said):
    with pytest.raises(UsageError, match=said):
        Cluster(**words)


@pytest.fixture
def scheduler(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    monkeypatch.setattr("ntkspec.cluster.workers.SECONDS", machine.PATIENT)
    with machine.scheduler() as started:
        yield started


def test_a_scheduler_that_is_there(scheduler, monkeypatch):
    """Workers may come later, know how many share their machine, and keep the devices they were given."""
    scheduler.more(1)
    with Cluster(scheduler.address).start() as workers:
        assert workers.count == 1
        assert {ended.answer[3:] for ended in over(workers, whom, range(2))} == {("1", "3,4")}
        scheduler.more(1)
        wait_until(lambda: workers.connected() == 2)
        assert len({ended.answer[0] for ended in over(workers, whom, range(12))}) == 2
        assert workers.ahead() == 4
        silent = workers._client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.worker_ttl)
        assert silent > 1e8  # seconds
        scheduler.process.kill()
        with pytest.raises(ClusterError, match=r"expected (a scheduler that answers|to stay while)"):
            list(over(workers, time.sleep, [0.2] * 9))


def test_a_scheduler_without_workers(scheduler, monkeypatch):
    from distributed import Client

    with Client(scheduler.address, timeout=machine.PATIENT):  # it has started: then it answers at once
        monkeypatch.setattr("ntkspec.cluster.workers.SECONDS", 3)
    with pytest.raises(ClusterError, match="expected workers that came to this scheduler, got none in 3 s"):
        with Cluster(scheduler.address).start():
            pass


def test_workers_of_another_version(scheduler, monkeypatch):
    monkeypatch.setattr("ntkspec.cluster.workers.__version__", "9.9")
    scheduler.more(1)
    with pytest.raises(ClusterError, match=r"expected ntkspec 9\.9, as here, got 0"):
        with Cluster(scheduler.address).start():
            pass


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("ntkspec.cluster.workers.SECONDS", 0.2)
    with pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9: expected a scheduler that answers"):
        with Cluster("tcp://127.0.0.1:9").start():
            pass
