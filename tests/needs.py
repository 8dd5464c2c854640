"""What some tests need and a machine may lack: without it they are skipped, and say so."""

import shutil
from importlib.util import find_spec

import pytest

NO_DASK = "no Dask, of the extra cluster"

dask = pytest.mark.skipif(find_spec("distributed") is None, reason=NO_DASK)
embree = pytest.mark.skipif(find_spec("embreex") is None, reason="no Embree, of the extra torch")
torch = pytest.mark.skipif(find_spec("torch") is None, reason="no PyTorch, of the extra torch")
lightning = pytest.mark.skipif(
    find_spec("lightning") is None, reason="no Lightning: make test-lightning has an environment with it"
)
git = pytest.mark.skipif(shutil.which("git") is None, reason="no git")
node = pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js")
