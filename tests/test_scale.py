"""docs/scale.md: limits of the simulation, memory by the package's plans, tables of the committed JSON."""

from __future__ import annotations

import doctest
import json
import sys
from pathlib import Path

import needs
import numpy as np
import pytest

from ntkspec.backend import CpuBackend
from ntkspec.jacobian import Block, DenseFactor, Jacobian, SparseFactor
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.choose import plan
from ntkspec.spectral.solvers import SOLVERS

sys.path.append(str(Path(__file__).parents[1] / "analysis" / "studies"))
from scaling import devices, limits, networks, routes, several_gpus, simulation, tables

ROOT = Path(__file__).parents[1]
RESULT = json.loads((ROOT / "analysis" / "results" / "scale.json").read_text(encoding="utf-8"))
FREE = simulation.Costs(0.0, 0.0, 0.0, 0.0)
HABITS = routes.Habits(facts_s=0.0, products=100, rank_at=10, rank=10, growth=0.5)
GIB = 2**30


def jacobian(n: int = 12) -> Jacobian:
    """Two layers and a level of a grid of 40 nodes, of which n samples touch as many as they can."""
    rng = np.random.default_rng(0)
    indices = np.minimum(np.arange(4 * n), 39).reshape(n, 4).astype(np.int32)
    level = SparseFactor(indices, rng.standard_normal((n, 1, 4)), 40)
    wide, thin = (DenseFactor(rng.standard_normal((n, 1, width))) for width in (7, 3))
    blocks = [(wide, thin), (None, wide), (level, thin)]
    return Jacobian(tuple(Block(str(i), "network", n, 1, *pair) for i, pair in enumerate(blocks)))


def work(jac: Jacobian, gib: float = 4.0, habits: routes.Habits = HABITS) -> routes.Work:
    return routes.Work.of(Kernel.from_jacobian(jac, backend="cpu", memory=gib), habits)


# -- the simulation


@pytest.mark.parametrize("window", [1, 2, None])
@pytest.mark.parametrize("workers", [1, 7])
def test_without_overhead_workers_share_the_time(workers, window):
    took = simulation.simulate(workers, 21 * workers, 2.0, FREE, window=window)
    assert took == pytest.approx(21 * 2.0)
    assert simulation.efficiency(workers, 21 * workers, 2.0, FREE, window) == pytest.approx(1.0)


def test_one_worker_with_one_task_ahead_adds_everything_up():
    """Out and back again before the next: four ways, and the costs of all three."""
    costs = simulation.Costs(0.1, 0.2, 0.3, 0.05)
    took = simulation.simulate(1, 50, 1.0, costs, window=1)
    assert took == pytest.approx(50 * (0.1 + 0.2 + 0.3 + 4 * 0.05 + 1.0))


@pytest.mark.parametrize("server", ["client_s", "scheduler_s"])
def test_where_overhead_is_all_the_slowest_server_sets_the_pace(server):
    costs = simulation.Costs(
        **{"client_s": 0.0, "scheduler_s": 0.0, "worker_s": 0.0, "hop_s": 0.0, server: 0.01}
    )
    assert simulation.simulate(20, 400, 0.0, costs) == pytest.approx(400 * 0.01)
    assert simulation.simulate(1000, 5000, 1.0, costs, window=2) > 0.98 * 5000 * 0.01


def test_shared_cores_cannot_do_more_than_they_can():
    costs = simulation.Costs(0.01, 0.02, 0.03, 0.0)
    took = simulation.simulate(8, 400, 0.0, costs, cores=2)
    assert took >= 400 * 0.06 / 2
    assert took < 1.1 * 400 * 0.06 / 2
    assert simulation.simulate(8, 400, 0.0, costs, cores=1) == pytest.approx(400 * 0.06)


def test_a_task_ahead_hides_the_way():
    """With two tasks ahead the next is there when one ends, as long as a task takes longer than its way."""
    costs = simulation.Costs(0.0, 0.0, 0.0, 0.1)
    assert simulation.simulate(3, 300, 1.0, costs, window=2) == pytest.approx(100 + 4 * 0.1)
    assert simulation.simulate(3, 300, 1.0, costs, window=1) == pytest.approx(100 * 1.4)


# -- memory


@pytest.mark.parametrize("route", ["gram", "svd", "dual", "lanczos"])
def test_sizes_alone_plan_like_numbers(route):
    real, sizes = work(jacobian()), work(networks.planned(jacobian(6), 12))
    assert routes.memory(route, sizes) == SOLVERS[route].need(real.kernel).needed
    assert routes.BYTES[route](sizes) == routes.BYTES[route](real)


def test_memory_is_what_the_plan_prints():
    kernel = work(jacobian()).kernel
    printed = {line.split()[0]: " ".join(line.split()[1:3]) for line in list(plan("total", kernel))[1:]}
    for route in ("gram", "svd", "dual", "lanczos"):
        assert tables.size(routes.memory(route, work(jacobian()))) == printed[route]


def test_the_low_rank_route_plans_with_the_rank_expected():
    """At the rank that the plan would try, it is the plan's."""
    n = 12
    habits = routes.Habits(facts_s=0.0, products=0, rank_at=n, rank=n // 2, growth=1.0)
    kernel = work(jacobian(n)).kernel
    assert (
        routes.memory("low-rank", work(jacobian(n), habits=habits)) == SOLVERS["cholesky"].need(kernel).needed
    )


def test_what_fits_is_what_a_budget_allows():
    model = networks.planned(jacobian(), 50_000)
    assert devices.fits("gram", work(model), devices.LAPTOP)
    assert not devices.fits("gram", work(networks.planned(jacobian(), 51_000)), devices.LAPTOP)
    assert devices.fits("file", work(networks.planned(jacobian(), 10**7)), devices.LAPTOP)
    small = devices.Device("small", 2 * routes.memory("lanczos", work(model)))
    assert devices.fits("lanczos", work(model), small)
    assert not devices.fits("svd", work(model), small)


@needs.torch
def test_the_committed_memory_is_of_todays_plans(monkeypatch):
    """Of both networks, as sizes alone; as many tiles are at work as threads were."""
    monkeypatch.setattr(CpuBackend, "workers", RESULT["constants"]["threads"])
    models = {network: networks.in_memory(network, 16) for network in ("mlp", "multigrid")}
    for row in RESULT["routes"]:
        if row["n"] > 10**5 and row["route"] == "dual":
            continue  # which reads the indices of all samples
        habits = routes.Habits(**RESULT["habits"][row["network"]])
        model = work(networks.planned(models[row["network"]], row["n"]), 2**30, habits)
        assert routes.memory(row["route"], model) == row["memory"], (row["network"], row["n"], row["route"])


# -- plans and tables


def test_slabs_add_up():
    n, one, four = 4096, several_gpus.Slabs(4096, 1), several_gpus.Slabs(4096, 4)
    assert one.received_bytes == 0
    assert four.held_bytes == 8 * n * n / 4 + 8 * 4 * n * several_gpus.BAND
    rows = np.arange(n, 0, -several_gpus.BAND)  # left at each step
    sent = 2 * 8 * several_gpus.BAND * rows.sum() * 3 / 4
    assert four.received_bytes == pytest.approx(sent, rel=2 * several_gpus.BAND / n)
    assert one.seconds("NVLink 4") - one.serial_s == pytest.approx(2 * n**3 / several_gpus.REDUCTION_RATE)


def test_the_largest_that_holds():
    assert [limits.largest(lambda n, most=most: n <= most) for most in (0, 1, 12_345)] == [0, 1, 12_345]


@pytest.mark.parametrize("module", [limits, networks, simulation, tables], ids=lambda module: module.__name__)
def test_examples_run(module):
    failed, attempted = doctest.testmod(module)
    assert attempted
    assert not failed


@pytest.mark.parametrize("name", list(tables.TABLES))
def test_the_page_has_the_tables_of_the_committed_numbers(name):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    _, start, rest = page.partition(f"<!-- {name} -->\n")
    text, end, _ = rest.partition(f"<!-- end {name} -->")
    assert start
    assert end
    assert text.strip() == tables.all_tables(RESULT)[name].strip()
