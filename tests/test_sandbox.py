"""Trying files out: who is forked, what is left behind, and what happens where no server can be started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import looks
import pytest
import runs

import ntkspec
from ntkspec import analyze, sandbox, validate
from ntkspec.errors import RunFileError
from ntkspec.sandbox import client
from ntkspec.store import RunWriter

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files are tried out on Linux alone")
BUDGET = 2**28


@pytest.fixture
def counted(monkeypatch):
    """Names of the trials that were asked for, and an end to whoever would fork this process."""
    asked = []

    def try_out(path, what, look, budget, seconds=client.SECONDS):
        asked.append(what)
        return client.try_out(path, what, look, budget, seconds)

    def fork():
        raise AssertionError("forked")

    monkeypatch.setattr(sandbox, "try_out", try_out)
    monkeypatch.setattr(os, "fork", fork)
    return asked


@pytest.fixture
def path(tmp_path):
    """A file that nobody has tried out."""
    place = tmp_path / "file"
    place.write_text("x")
    return place


def filtered_run(path):
    import h5py

    with h5py.File(runs.foreign_run(path), "r+") as file:
        del file["samples/inputs"]
        file.create_dataset("samples/inputs", (6, 1), data=[[0.0]] * 6, compression="gzip")
    return path


def test_a_script_decides(counted, tmp_path):
    run = filtered_run(tmp_path / "run.h5")
    with ntkspec.open_run(run) as opened:
        opened.check_values()
    analyze.analyze_runs([run], k=1)
    assert counted == []
    with ntkspec.open_run(run, trial=True) as opened:
        assert counted == ["structure"]
        opened.check_values()
    assert counted == ["structure", "filters"]
    analyze.analyze_runs([run], k=1, trial=True)
    assert counted == ["structure", "filters"] * 2


@pytest.mark.parametrize(("main", "words"), [(validate.main, []), (analyze.main, ["-k", "1", "-o", "out"])])
def test_commands_always_try_files_out(main, words, counted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ntkspec.report.write.write_report", lambda *_, **__: None)
    filtered_run(tmp_path / "run.h5")
    assert main(["run.h5", "-q", *words]) == 0
    assert counted == ["structure", "filters"]


def test_a_part_is_tried_out_before_it_is_resumed(counted, tmp_path):
    path = tmp_path / "run.h5"
    inputs = [[0.0], [1.0]]
    import numpy as np

    with pytest.raises(ZeroDivisionError), RunWriter(path, inputs=np.array(inputs)):
        raise ZeroDivisionError
    assert counted == []
    (tmp_path / "run.h5.part").write_bytes(b"not HDF5")
    with pytest.raises(ntkspec.NtkspecError, match="to resume"):
        RunWriter(path, inputs=np.array(inputs), resume=True)
    assert counted == ["resume"]


def test_what_is_forked_runs_no_threads(path, tmp_path, monkeypatch):
    """This process has threads; the child is the server's, which has none, and finds relative paths."""
    monkeypatch.chdir(tmp_path)
    for name in client.ALONE:
        monkeypatch.delenv(name, raising=False)  # or it would have none anyway
    with sandbox.server():
        sandbox.stop()
        sandbox.start("ntkspec.store")
        while (
            "_selector" not in Path(f"/proc/{client._server.pid}/maps").read_text()
        ):  # the last of h5py, after NumPy
            time.sleep(0.01)
        assert len(os.listdir(f"/proc/{client._server.pid}/task")) == 1  # by forking, OpenBLAS ends its own
        sandbox.try_out(path, "where", partial(looks.tell, Path("note")), BUDGET)
        child, parent, threads, folder = (tmp_path / "note").read_text().split(" ", 3)
        assert int(parent) == client._server.pid
        assert int(child) not in (os.getpid(), client._server.pid)
        assert int(threads) == 1
        assert Path(folder) == tmp_path


def test_a_server_that_dies_is_replaced(path):
    with sandbox.server():
        sandbox.start()
        before = client._server.pid
        os.kill(before, signal.SIGKILL)
        with pytest.raises(RunFileError, match="crashes"):
            sandbox.try_out(path, "crashes", looks.crash, BUDGET)
        assert client._server.pid != before
        with pytest.raises(ProcessLookupError):
            os.kill(before, 0)  # not even a zombie


def test_a_trial_ends_with_who_asked_for_it(path, tmp_path):
    """Ctrl-C while the server runs on: its child does not."""
    note = tmp_path / "note"
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with sandbox.server(), meanwhile(note, lambda child, server: os.kill(os.getpid(), signal.SIGINT)):
            with pytest.raises(KeyboardInterrupt):
                sandbox.try_out(path, "sleeps", partial(looks.tell_and_sleep, note), BUDGET)
            assert note.read_text() != "slept"
            assert gone(int(note.read_text().split()[0]))
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_trial_ends_with_its_server(path, tmp_path):
    """It is tried once more by another."""
    note = tmp_path / "note"
    with sandbox.server(), meanwhile(note, lambda child, server: os.kill(server, signal.SIGKILL)):
        sandbox.try_out(path, "sleeps once", partial(looks.sleep_once, note), BUDGET)
    assert note.read_text() != "slept"
    assert gone(int(note.read_text().split()[0]))


@contextlib.contextmanager
def meanwhile(note, act):
    """Do something to the two processes as soon as a child has left its note."""

    def watch():
        while not (note.exists() and note.read_text()):
            time.sleep(0.01)
        child, server, _ = note.read_text().split(" ", 2)
        act(int(child), int(server))

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


def gone(process):
    """Whether a process ends within ten seconds."""
    for _ in range(1000):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # somebody else's to bury
            return True
        time.sleep(0.01)
    return False


ASK = """
import sys
from functools import partial
from pathlib import Path
import looks
from ntkspec import sandbox
note = Path(sys.argv[1])
sandbox.try_out(Path(sys.argv[0]), "sleeps", partial(looks.tell_and_sleep, note), 2**28)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_command(number, tmp_path):
    note, script = tmp_path / "note", tmp_path / "ask.py"
    script.write_text(ASK)
    tests = str(Path(__file__).parent)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])}
    with subprocess.Popen(
        [sys.executable, str(script), str(note)], env=environment, stderr=subprocess.DEVNULL
    ) as process:
        while not (note.exists() and note.read_text()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
    child, server, _ = note.read_text().split(" ", 2)
    assert gone(int(child))
    assert gone(int(server))


def test_no_room_for_another_process(path, tmp_path, monkeypatch):
    """Files are then opened untried, as where nobody can try them out, and are not taken for tried ones."""
    run = runs.write_run(tmp_path / "run.h5")

    def spawn(*_):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with sandbox.server():
        sandbox.stop()
        with monkeypatch.context() as patch:
            patch.setattr(client, "_spawn", spawn)
            ntkspec.open_run(run, trial=True).close()
            sandbox.try_out(path, "crashes", looks.crash, BUDGET)
        with pytest.raises(RunFileError, match="crashes"):
            sandbox.try_out(path, "crashes", looks.crash, BUDGET)


def test_commands_without_streams_try_files_out(tmp_path):
    """The line to the server takes none of their numbers, to which a library might write."""
    runs.write_run(tmp_path / "run.h5")
    (tmp_path / "bad.h5").write_bytes((tmp_path / "run.h5").read_bytes()[:-3000])
    number = (
        "from ntkspec.sandbox import client; client.start(); raise SystemExit(client._server.line.fileno())"
    )
    codes = [
        subprocess.run(
            ["bash", "-c", f"{sys.executable} {words} <&- >&- 2>&-"], cwd=tmp_path, check=False
        ).returncode
        for words in ("-m ntkspec.validate run.h5", "-m ntkspec.validate bad.h5", f"-c '{number}'")
    ]
    assert codes[:2] == [0, 2]
    assert codes[2] > 2
