"""What a worker takes of its machine: threads, a part of the memory, and a device that no other has."""

import os
import subprocess
import sys

import machine
import pytest

from ntkspec.cluster import shares
from ntkspec.errors import BackendError

TAKE = """
import os, sys
from pathlib import Path
from ntkspec.cluster.shares import take_device
take_device(int(sys.argv[1]), Path(sys.argv[2]))
print(os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
sys.stdin.read()
"""


def test_threads_and_memory():
    variables = shares.environment(3, 2)
    assert {variables[name] for name in shares.THREADS} == {"3"}
    assert variables["NTKSPEC_PROCESSES_HERE"] == "2"


@pytest.mark.parametrize(
    ("visible", "names"),
    [("", ()), ("-1", ()), ("0", ("0",)), ("2, 3", ("2", "3")), ("GPU-1,MIG-2", ("GPU-1", "MIG-2"))],
)
def test_devices_that_the_environment_names(visible, names):
    assert shares.devices({"CUDA_VISIBLE_DEVICES": visible}) == names


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (machine.SMI, ("GPU-11111111-aaaa", "GPU-22222222-bbbb")),
        ("#!/bin/sh\nexit 9\n", ()),
        ("#!/bin/sh\necho 'GPU 0: X (UUID: GPU-1)'\necho '  MIG 1g: (UUID: MIG-2)'\n", ("MIG-2",)),
    ],
)
def test_devices_that_the_driver_names(said, names, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", machine.commands(tmp_path, nvidia_smi=said))
    assert shares.devices({}) == names


def test_each_worker_has_a_device_of_its_own(tmp_path, monkeypatch):
    """One that dies leaves its device to the next; none is taken twice, and zero means none."""
    monkeypatch.setenv("PATH", machine.commands(tmp_path, nvidia_smi=machine.SMI))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def worker(count):
        words = [sys.executable, "-c", TAKE, str(count), str(tmp_path / "locks")]
        pipe = subprocess.PIPE
        return subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    first, second = worker(1), worker(1)
    taken = [first.stdout.readline().strip(), second.stdout.readline().strip()]
    assert sorted(taken) == ["GPU-11111111-aaaa", "GPU-22222222-bbbb"]
    third = worker(1)
    assert "got 2 devices, which other workers have" in third.communicate()[1]
    first.kill()
    first.communicate()
    fourth, none = worker(1), worker(0)
    assert fourth.stdout.readline().strip() == taken[0]
    assert none.communicate()[0] == "\n"
    for process in (second, fourth):
        process.communicate()


def test_a_device_that_the_environment_names_alone_is_the_workers(tmp_path, monkeypatch):
    """In a job of SLURM each sees its device as 0: no lock tells them apart, and none is needed."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    words = [sys.executable, "-c", TAKE, "1", str(tmp_path / "locks")]
    done = [subprocess.run(words, input="", capture_output=True, text=True, check=True) for _ in range(2)]
    assert [process.stdout for process in done] == ["0\n", "0\n"]
    assert not (tmp_path / "locks").exists()


def test_one_command_after_the_other_may_ask_for_other_devices(tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "_GIVEN", {"CUDA_VISIBLE_DEVICES": "5,6"})
    monkeypatch.setattr(shares, "_claims", {})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    seen = []
    for count in (0, None, 1, 0, 1):
        shares.take_device(count, tmp_path)
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert seen == ["", "5,6", "5", "", "5"]


def test_a_folder_of_locks_that_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setattr(shares, "_GIVEN", {"CUDA_VISIBLE_DEVICES": "5,6"})
    monkeypatch.setattr(shares, "_claims", {})
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="expected a folder of this user's for locks"):
        shares.take_device(1, tmp_path / "file")


def test_how_many_workers_a_machine_has_room_for():
    assert shares.workers_for((), 6, 0) == 6
    assert shares.workers_for(("0", "1"), 6, 1) == 2
    with pytest.raises(BackendError, match="expected a device on this machine, got none"):
        shares.workers_for((), 6, 1)
