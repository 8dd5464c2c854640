"""The examples in docstrings, run as they stand."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import needs
import pytest

import ntkspec

ROOT = Path(ntkspec.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]
NEEDS = {"ntkspec.cluster.slurm": needs.dask, "ntkspec.export.lightning": needs.lightning}
WITH_TORCH = ("ntkspec.export.", "ntkspec.nets.")


def needed(name):
    """Return the marks of a module that needs an extra."""
    return NEEDS.get(name) or (needs.torch if name.startswith(WITH_TORCH) else ())


@pytest.mark.parametrize("name", [pytest.param(name, marks=needed(name)) for name in MODULES])
def test_examples(name):
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted
    assert not done.failed
