"""Tests see no device unless they are marked gpu: without a mark "auto" is the CPU, here and in commands."""

import os
import subprocess
import sys
from types import SimpleNamespace

import devices
import pytest

from ntkspec.backend import select

CHOSEN = "from ntkspec.backend import select; print(select('auto').name)"
# A device is there if the variable said so when it was first asked for, as CUDA has it.
CUPY = """
import functools, os
class cuda:
    cublas = None
    class device:
        get_cublas_handle = None
    is_available = functools.cache(lambda: os.environ["CUDA_VISIBLE_DEVICES"] != "")
"""


def chosen() -> list[str]:
    """What "auto" means in this process, and in one that it starts."""
    done = subprocess.run([sys.executable, "-c", CHOSEN], capture_output=True, text=True, check=True)
    return [select("auto").name, done.stdout.strip()]


def test_auto_is_the_cpu():
    assert chosen() == ["cpu", "cpu"]


@pytest.mark.gpu
def test_auto_is_the_device_where_a_test_is_marked():
    assert chosen() == ["gpu", "gpu"]


def test_both_of_these_where_there_is_a_device(tmp_path, monkeypatch):
    """Run by pytest in a process of its own, in which CUDA starts before the first test."""
    for folder in ("cupyx", "cupyx/scipy"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").touch()
    for module in ("cupyx/scipy/linalg", "cupyx/scipy/sparse"):
        (tmp_path / f"{module}.py").touch()
    (tmp_path / "cupy.py").write_text(CUPY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv(devices.VISIBLE, "0")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "auto"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "2 passed" in done.stdout, done.stdout


def test_pytorch_that_has_seen_a_device(monkeypatch):
    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setitem(sys.modules, "torch", torch)
    with devices.hidden():
        assert not torch.cuda.is_available()
    assert torch.cuda.is_available()
