"""The memory plan agrees with what the routes then ask for."""

from __future__ import annotations

import re

import cases
import numpy as np
import pytest
from standins import stand_in_gpu

import ntkspec
from ntkspec.backend import select
from ntkspec.errors import MemoryBudgetError, NtkspecError
from ntkspec.kernel.problem import Kernel
from ntkspec.machine.memory import GIB, SHARE
from ntkspec.spectral import choose
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
    with pytest.raises(MemoryBudgetError, match="budget"):
        ntkspec.spectrum(jac, outputs, method=route, memory=small / GIB, **options)


def test_an_operator_that_does_not_fit_is_refused_before_its_factors_are_read(tmp_path):
    ntkspec.write_run(tmp_path / "run.h5", np.zeros((40, 1)), np.zeros((40, 1)), cases.mixed(40, c=1))
    with ntkspec.open_run(tmp_path / "run.h5") as run:
        jac = run[0].jacobian
    with pytest.raises(MemoryBudgetError, match="factors of the kernel"):  # the file is closed
        ntkspec.operator(jac, memory=1e-6)


@pytest.mark.parametrize("method", SOLVERS)
def test_the_largest_n_is_where_the_plan_ends(method):
    """The number in the plan's line: as many samples fit, and no more."""
    kernel = Kernel(cases.mixed(40), backend=CPU, budget=2**24)
    (line,) = [line for line in plan("a run", kernel) if line.split()[0] == method]
    most = int(line.rpartition("largest n: ")[2].replace(",", ""))
    assert most > 40
    solver = SOLVERS[method]
    assert solver.need(kernel.sized(most)).fits
    assert not solver.need(kernel.sized(most + 1)).fits


@pytest.mark.parametrize("method", ["gram", "svd", "lanczos"])
def test_a_size_alone_plans_like_samples(method):
    few, many = (Kernel(cases.mixed(n), backend=CPU, budget=2**30) for n in (7, 600))
    assert SOLVERS[method].need(few.sized(600)) == SOLVERS[method].need(many)


def on_device(monkeypatch, jac, free, budget=2**30):
    """A kernel on a device with so many bytes for it."""
    return Kernel(jac, backend=stand_in_gpu(monkeypatch, free=int(free / SHARE)), budget=budget)


def test_the_plan_of_a_device_names_both_memories(monkeypatch):
    kernel = on_device(monkeypatch, cases.mixed(40), 2**28)
    said = list(plan("a run", kernel))
    assert said[0] == "memory plan of a run, budget 1 GiB on the host, 256 MiB on the device (Stand-in)"
    for line in said[1:]:
        assert re.search(r"; largest n: [\d,]+ on the device, [\d,]+ on the host$", line)
    assert "fits: the kernel" in said[1]


def test_a_kernel_whose_solver_does_not_fit_the_device_is_solved_on_the_host(monkeypatch):
    jac = cases.mixed(400)
    kernel = on_device(monkeypatch, jac, 4 * 8 * 400**2)  # the kernel alone, not what the solver takes
    assert kernel.backend.eigvalsh_bytes(400, "float64") > kernel.room - kernel.nbytes > kernel.nbytes
    need = SOLVERS["gram"].need(kernel)
    assert need.fits
    assert need.on_host
    assert any("gram" in line and "fits on the host: the kernel" in line for line in plan("a run", kernel))
    found = SOLVERS["gram"].solve(kernel)
    assert (np.abs(found.eigenvalues - ntkspec.spectrum(jac, backend="cpu").eigenvalues) <= found.error).all()
    poor = on_device(monkeypatch, jac, 4 * 8 * 400**2, budget=8 * 400**2 - 1)
    assert not SOLVERS["gram"].need(poor).fits
    with pytest.raises(
        MemoryBudgetError, match=r"on the host .the memory budget. or .* on the Stand-in, got a"
    ):
        SOLVERS["gram"].solve(poor)


@pytest.mark.parametrize("method", ["svd", "dual"])
def test_what_does_not_fit_a_device_is_refused_by_its_memory(method, monkeypatch):
    kernel = on_device(monkeypatch, cases.mixed(300), 2**20)
    with pytest.raises(
        MemoryBudgetError, match=r"1 MiB .80% of what is free on the Stand-in.*backend='cpu' or"
    ):
        SOLVERS[method].solve(kernel)


def test_the_budget_of_the_host_is_none_of_the_device(monkeypatch):
    kernel = on_device(monkeypatch, cases.mixed(300), 2**28, budget=2**20)
    assert SOLVERS["svd"].need(kernel).fits
    assert SOLVERS["gram"].need(kernel).fits
    assert not SOLVERS["lanczos"].need(kernel).fits  # its vectors are on the host


def test_lines_name_every_route_and_the_budget():
    jac = cases.mixed(40)
    said = list(plan("a run, end", Kernel(jac, backend=CPU, budget=2**20)))
    assert said[0] == "memory plan of a run, end, budget 1 MiB"
    assert [line.split()[0] for line in said[1:]] == ["gram", "svd", "dual", "cholesky", "lanczos"]
    assert any("does not fit" in line for line in said)


def test_a_caller_s_array_does_not_count():
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


def test_a_kernel_that_a_device_has_no_room_for_is_tried_by_its_rank(monkeypatch):
    """It would be solved on the host, or not at all; others a device solves soon."""
    monkeypatch.setattr(choose, "CHOLESKY_FROM", 300)
    jac = cases.mixed(30).rows(np.arange(400) % 30)
    methods = [
        choose.solve(on_device(monkeypatch, jac, free, budget=2**21), k=3).method
        for free in (2**28, 5 * 8 * 400**2)
    ]
    assert methods == ["gram", "cholesky"]
