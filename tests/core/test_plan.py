"""The memory plan agrees with what the routes then ask for."""

from __future__ import annotations

import cases
import pytest

import ntkspec
from ntkspec.backend import select
from ntkspec.errors import MemoryBudgetError, NtkspecError
from ntkspec.kernel.problem import Kernel
from ntkspec.memory import GIB
from ntkspec.spectral.choose import plan
from ntkspec.spectral.solvers import SOLVERS

CPU = select("cpu")


def needs(jac, outputs, budget):
    kernel = Kernel(jac, outputs=outputs, backend=CPU, budget=budget)
    return {name: solver.need(kernel) for name, solver in SOLVERS.items()}


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("route", ["gram", "svd", "dual", "lanczos"])
def test_what_fits_runs_and_what_does_not_is_refused(route, outputs):
    jac = cases.mixed(40)
    options = {"k": 3} if route == "lanczos" else {}
    needed = needs(jac, outputs, 10 * GIB)[route].needed
    found = ntkspec.spectrum(jac, outputs, method=route, memory=1.01 * needed / GIB, **options)
    assert found.method == route
    small = needed // 50
    assert not needs(jac, outputs, small)[route].fits
    with pytest.raises(MemoryBudgetError):
        ntkspec.spectrum(jac, outputs, method=route, memory=small / GIB, **options)


def test_lines_name_every_route_and_the_budget():
    jac = cases.mixed(40)
    said = list(plan("a run, end", Kernel(jac, backend=CPU, budget=2**20)))
    assert said[0] == "memory plan of a run, end, budget 1 MiB"
    assert [line.split()[0] for line in said[1:]] == ["gram", "svd", "dual", "cholesky", "lanczos"]
    assert any("does not fit" in line for line in said)


def test_a_caller_s_array_does_not_count():
    import numpy as np

    jac = cases.mixed(200)
    out = np.empty((200, 200))
    budget = needs(jac, "trace", 10 * GIB)["gram"].needed - out.nbytes // 2
    with pytest.raises(NtkspecError, match="memory budget"):
        ntkspec.gram(jac, memory=0.1 * budget / GIB)
    assert ntkspec.gram(jac, memory=budget / GIB, out=out) is out
    assert np.array_equal(out, ntkspec.gram(jac, tile=None))
    with pytest.raises(NtkspecError, match="give numpy"):
        ntkspec.gram(jac, out=np.empty((200, 199)))
    with pytest.raises(NtkspecError, match="float64"):
        ntkspec.gram(jac, out=np.empty((200, 200), np.float32))
