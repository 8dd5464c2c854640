"""The package on systems that lack what Linux has: pretended ones, in processes of their own."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import needs
import psutil
import pytest

from ntkspec import _io
from ntkspec.errors import UnsupportedSystemError
from ntkspec.machine import linux, memory
from ntkspec.machine.systems import require_unix

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def python(*words, folder, path=(), **options):
    """Run Python with the package, and folders of `path` before it, and return what it printed."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT)))}
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, check=False, **options
    )


# -- macOS

PRETENDED = """
import os, sys
import ntkspec
assert sys.platform == "darwin" and not hasattr(os, "posix_fallocate")
"""
MAIN_WAY = """
import numpy as np
from ntkspec import analyze, batch, train, validate
x = np.random.default_rng(0).random((40, 2))
waves = np.cos(x @ np.arange(1, 17).reshape(2, 8))
ntkspec.write_run("waves.h5", x, waves @ np.ones(8), {"w": waves})
words = ["--preset", "mpe-coarse", "--side", "32", "--iterations", "2", "--samples", "16", "--device", "cpu"]
assert train.main(["--image", PICTURE, *words, "-o", "net.h5", "-q"]) == 0
assert validate.main(["net.h5", "waves.h5"]) == 0
assert analyze.main(["net.h5", "--snapshot", "end", "--kernels", "kernels", "-o", "report", "-q"]) == 0
assert batch.main(["waves.h5", "-o", "results", "--share", "0/1"]) == 0
print(*sorted(os.listdir()))
"""
BATCH_OF_A_WORKER = """
from ntkspec import batch
assert batch.main([RUN, "-o", "results", "--workers", "1"]) == 0
assert os.path.exists("results/population/index.html")
"""


@pytest.fixture
def macos(tmp_path):
    """Run a script on a pretended macOS, in a folder that a link leads to, as /tmp does there."""
    (tmp_path / "private").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "private")

    def run(script, **names):
        lines = [f"{name} = {value!r}" for name, value in names.items()]
        done = python("-c", "\n".join((*lines, script)), folder=link, path=[TESTS / "pretended_macos"])
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@needs.torch
def test_runs_are_written_trained_and_analysed_on_macos(macos):
    picture = str(ROOT / "data/pictures/camera.png")
    out = macos("import torch, torchmetrics, skimage.metrics\n" + PRETENDED + MAIN_WAY, PICTURE=picture)
    assert out.splitlines()[-1] == "kernels net.checkpoints net.h5 report results waves.h5"


@needs.dask
@pytest.mark.slow
def test_a_worker_on_macos(macos):
    run = str(ROOT / "data/golden/foreign.h5")
    out = macos("import distributed\n" + PRETENDED + BATCH_OF_A_WORKER, RUN=run)
    assert "1 run analysed, 0 there already, 0 failed" in out


@pytest.mark.parametrize(("size", "start"), [(0, 0), (5, 0), (3 * _io.PIECE + 7, 0), (3 * _io.PIECE + 7, 99)])
def test_a_file_is_allocated_without_the_system_call(size, start, tmp_path, monkeypatch):
    """What is in it stays, and no part of it from the start on is a hole."""
    monkeypatch.delattr(os, "posix_fallocate")
    path, content = tmp_path / "file", b"0123456789" * 7
    path.write_bytes(content)
    os.truncate(path, 2 * _io.PIECE)
    with path.open("r+b") as handle:
        handle.seek(-1, os.SEEK_END)
        handle.write(b"x")
    before = path.read_bytes()
    _io.allocate(path, size, start)
    assert path.read_bytes() == before.ljust(size, b"\0")
    assert path.stat().st_blocks * 512 >= size - start


def test_a_full_disk_is_an_error_without_the_system_call(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        _io.allocate(Path("/dev/full"), 100)


def test_without_locks_nothing_is_locked(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    with _io.locked(tmp_path) as free:
        assert free is None
    with _io.replacing(tmp_path / "file") as part:
        part.write_text("x")
    assert (tmp_path / "file").read_text() == "x"


def test_the_cache_of_a_drive_is_emptied_where_that_can_be_asked_for(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda handle, command: asked.append(command))
    with _io.replacing(tmp_path / "file") as part:
        part.write_text("x")
    assert asked == [51]


def test_free_memory_is_known_without_proc(tmp_path, monkeypatch):
    monkeypatch.setattr(linux, "PROC", tmp_path)
    total = psutil.virtual_memory().total
    assert 0 < memory.available_bytes() < total == memory.capacity_bytes()
    monkeypatch.setenv(memory.PROCESSES_HERE, "2")
    assert memory.available_bytes() < total // 2
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delenv(memory.PROCESSES_HERE)
    assert memory.available_bytes() == total


def test_a_linux_that_does_not_say_what_is_free(tmp_path, monkeypatch):
    """What this process takes counts all the same, against limits that it shares."""
    (tmp_path / "self").mkdir()
    (tmp_path / "meminfo").write_text("MemTotal: 8000 kB\n", encoding="utf-8")
    (tmp_path / "self/status").write_text("VmRSS: 3000 kB\n", encoding="utf-8")
    monkeypatch.setattr(linux, "PROC", tmp_path)
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setenv(memory.PROCESSES_HERE, "2")
    assert memory.available_bytes() == (8000 // 2 - 3000) * 1024


# -- Windows

LINE = "error: ntkspec: expected Linux or macOS, got Windows; run it in WSL, the Linux inside Windows\n"
WINDOWS = """
import importlib.abc, sys
class Pretender(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ntkspec":
            sys.platform = "win32"
sys.meta_path.insert(0, Pretender())
"""


@pytest.mark.parametrize(
    "words",
    [
        ("-m", "ntkspec.analyze", "run.h5"),
        ("-c", "from ntkspec.__main__ import main"),
        ("-c", "import ntkspec"),
    ],
)
def test_windows_is_refused_in_one_line(words, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WINDOWS)
    done = python(*words, folder=tmp_path, path=[tmp_path])
    assert (done.returncode, done.stdout, done.stderr) == (2, "", LINE)


def test_the_refusal_can_be_caught_and_hides_no_other_error(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(sys, "excepthook", lambda *words: seen.append(words))
    with pytest.raises(ImportError, match="WSL") as refused:
        require_unix("win32")
    other = (ValueError, ValueError("x"), None)
    sys.excepthook(*other)
    assert seen == [other]
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    sys.excepthook(UnsupportedSystemError, refused.value, None)
    assert capsys.readouterr().err == LINE
    for system in ("linux", "darwin", "freebsd14"):
        require_unix(system)
