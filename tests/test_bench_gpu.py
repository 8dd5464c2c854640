"""analysis/benchmarks/bench_gpu.py at tiny sizes, with stand-ins for CuPy and for PyTorch on a device."""

from __future__ import annotations

import argparse
import json
import sys
import types
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
from standins import stand_in_gpu

from ntkspec.backend import gpu
from ntkspec.backend.device_eigenvalues import DeviceEigenvalues
from ntkspec.population.made_by import made_by

pytest.importorskip("torch", reason="no PyTorch, of the extra torch")
ANALYSIS = Path(__file__).parents[1] / "analysis"
with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(ANALYSIS / "studies")
    patch.syspath_prepend(ANALYSIS / "benchmarks")
    patch.setitem(sys.modules, "machine", types.ModuleType("machine"))  # tests/cluster has one, too
    import bench_gpu

    import_module("func")  # `gpu_measures.peers` asks for it when its folder is no longer on the path
    import gpu_checks
    import gpu_measures
    import gpu_tables
    import lapack_beside
    from gpu_device import Device

TINY = bench_gpu.Sizes(
    known=(8, 16), kernel=20, bits=20, product=16, gram=(20, 28), multigrid=28, eigenvalues=(10, 20, 24, 28),
    single=10, routes=20, analyze=(24,), peers=12,
)  # fmt: skip
OPTIONS = argparse.Namespace(commit="abc", quick=True, limit=1e9)


CONTRACT = """
import pytest

@pytest.mark.gpu
@pytest.mark.parametrize("number", range({count}))
def test_of_a_device(number):
    assert number < 2

def test_of_none():
    assert False
"""


@pytest.fixture
def device(monkeypatch, tmp_path):
    """From 20 samples on all is made up, from 24 rows on measured once; its contract is a test of two."""
    contract = tmp_path / "tests" / "core" / "test_contract.py"
    contract.parent.mkdir(parents=True)
    contract.write_text(CONTRACT.format(count=2), encoding="utf-8")
    monkeypatch.setattr(gpu_checks, "CONTRACT", contract)
    return Device(stand_in_gpu(monkeypatch), torch="cpu", once=24, real=20)


@pytest.fixture
def results(device, tmp_path):
    return bench_gpu.Results(bench_gpu.head(device.engine, OPTIONS), tmp_path / "gpu.json", OPTIONS.limit)


def test_all_of_it(device, results):
    bench_gpu.measure(device, TINY, results)
    kept = json.loads(results.target.read_text(encoding="utf-8"))
    assert (kept["failed"], kept["not_done"]) == ([], [])
    assert all(row["passed"] for row in kept["checks"])
    assert not kept[
        "finished"
    ]  # as in the file of a run that was killed; the command says when it is through
    counted = {group: len(kept[group]) for group in (*bench_gpu.GROUPS, "rates")}
    # Checks: 6 spectra of 2 sizes by 2 solvers, 2 kernels, bits, the contract, 3 large solves.
    # Eigenvalues: 3 solvers twice, float32, 3 large solves.
    assert counted == {
        "checks": 31, "gram": 4, "eigenvalues": 10, "routes": 10, "analyze": 2, "peers": 3, "rates": 2
    }  # fmt: skip
    assert all(row["seconds"] > 0 for group in ("rates", "gram", "analyze", "peers") for row in kept[group])
    assert {row["status"] for row in kept["routes"] if row["what"] == "dual"} == {"too many parameters"}
    assert [row["what"] for row in kept["analyze"] if "bounds" in row["steps"] and row["certified"]] == [
        gpu_measures.WHOLE
    ]
    assert max(row["difference"] for row in kept["peers"] if "difference" in row) < 1e-13
    text = gpu_tables.text(kept)
    for said in (
        "Stand-in",
        "| 16 decades | 16 |",
        "holds",
        "| mlp256 | 28 |",
        "lanczos",
        "bounds",
        "float32",
    ):
        assert said in text


def test_the_steps_of_the_solver(device, monkeypatch):
    """QR is a part of the panels; nothing is counted twice, and 100 rows have two panels of 32 columns."""
    monkeypatch.setattr(gpu, "BAND_FROM", 1)
    monkeypatch.setattr(device.engine.eigenvalues, "width", 32)
    (row,) = gpu_measures.eigenvalues(replace(device, once=100), gpu_measures.OURS, 100)
    assert max(row["trace_error"], row["norm_error"]) < 1e-12
    assert list(row["steps"]) == list(gpu_measures.SOLVER_STEPS)
    assert "| seconds of, n | reflection | panels |" in gpu_tables.eigenvalues([row])
    assert all(seconds > 0 for seconds in row["steps"].values())
    within = row["steps"].pop("QR of panels")
    assert within < row["steps"]["panels"]
    assert sum(row["steps"].values()) < row["seconds"]


def test_matrices_with_exact_eigenvalues():
    """Entry by entry from the definition, in whole numbers of any length."""
    spectrum = gpu_checks.spectra(8)["random"]
    values, matrix = gpu_checks.exact(np, spectrum)
    rng = np.random.default_rng(gpu_checks.SEED)
    order, flips = rng.permutation(8), rng.choice([-1, 1], 8)
    signs = (flips[:, None] * scipy.linalg.hadamard(8)[order]).astype(object)
    whole = np.array([int(w * (2.0**53 / spectrum.sum())) for w in spectrum], dtype=object)
    assert 2**53 - 8 <= sum(whole) <= 2**53
    assert [[int(entry) for entry in row] for row in matrix] == [
        [sum(i * j * whole) for j in signs] for i in signs
    ]
    assert values.tolist() == sorted(8 * w for w in whole)
    assert np.abs(np.linalg.eigvalsh(matrix) - values).max() < 1e-14 * values[-1]


def test_wrong_numbers_fail(device, results, monkeypatch):
    drift = iter(np.arange(1, 100) * 1e-12)
    for solver, name in ((gpu.GpuBackend, "eigvalsh"), (DeviceEigenvalues, "values")):
        right = getattr(solver, name)
        monkeypatch.setattr(
            solver, name, lambda self, matrix, right=right: right(self, matrix) * (1 + next(drift))
        )
    gpu_checks.CONTRACT.write_text(CONTRACT.format(count=4), encoding="utf-8")
    monkeypatch.setattr(gpu_checks, "formed", lambda *given: gpu_measures.formed(*given) * (1 + 1e-12))
    bench_gpu.measure(device, TINY, results, ("checks",))
    assert len(results.rows("checks")) == 28
    assert not any(row["passed"] for row in results.rows("checks"))
    assert "**fails**" in gpu_tables.text(json.loads(results.target.read_text(encoding="utf-8")))


def test_others_go_on_where_one_fails(device, results, monkeypatch):
    def without_room(*given):
        raise MemoryError("no room")

    def broken(*given):
        yield {"what": "the first", "n": 1}
        raise RuntimeError("an illegal address\nand more")

    monkeypatch.setattr(gpu_measures, "route", without_room)
    monkeypatch.setattr(gpu_measures, "peers", broken)
    bench_gpu.measure(device, TINY, results, ("routes", "peers"))
    kept = json.loads(results.target.read_text(encoding="utf-8"))
    assert kept["not_done"][0] == "routes, gram of total, n = 20: no room"
    assert len(kept["not_done"]) == 10
    assert kept["failed"] == ["peers, mlp256: RuntimeError: an illegal address"]
    assert kept["peers"] == [{"what": "the first", "n": 1}]


def test_what_would_take_too_long_is_listed(device, results):
    results.groups["eigenvalues"] = [{"what": gpu_measures.OURS, "n": 10, "seconds": results.limit / 8}]
    step = bench_gpu.Step("eigenvalues", gpu_measures.OURS, lambda: iter(()), 20)
    assert results.expected(step) == pytest.approx(results.limit)
    results.limit = 0.0
    bench_gpu.measure(device, TINY, results, ("analyze",))
    assert [each.partition(":")[0] for each in results.not_done] == [
        "analyze, analyze_run up to its bounds, n = 24",
        "analyze, analyze_run, n = 24",
    ]


def test_the_command(device, monkeypatch, tmp_path, capsys):
    page, kept = tmp_path / "page.md", tmp_path / "gpu.json"
    page.write_text("before\n<!-- gpu -->\nold\n<!-- end gpu -->\nafter\n", encoding="utf-8")
    command = ["bench_gpu.py", "--quick", "--only", "checks", "--write", "--commit", "abc", "-o", str(kept)]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setattr(bench_gpu, "select", lambda _: device.engine)
    monkeypatch.setattr(bench_gpu, "QUICK", TINY)
    monkeypatch.setattr(bench_gpu, "made_by", lambda: made_by() | {"commit": None})
    monkeypatch.setattr(gpu_tables, "PAGE", page)
    with pytest.raises(SystemExit) as left:
        bench_gpu.main()
    assert left.value.code == 0
    assert capsys.readouterr().out.count("PASS") == 28
    assert json.loads(kept.read_text(encoding="utf-8"))["commit"] == "abc"
    text = page.read_text(encoding="utf-8")
    assert "commit abc, as far as the copy tells" in text
    assert "\nold\n" not in text


def test_the_largest_kernel_that_fits(monkeypatch):
    device = Device(stand_in_gpu(monkeypatch, free=80 * 2**30))
    n = device.largest()
    assert 80_000 < n < 102_400
    assert 8 * n**2 < device.engine.room(0)


def test_without_a_device(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--quick"])
    with pytest.raises(SystemExit) as left:
        bench_gpu.main()
    assert left.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(("count", "worst"), [(2, 0.0), (4, 2.0), (0, np.inf)])
def test_the_contract_counts_what_fails_and_that_something_ran(count, worst, device):
    gpu_checks.CONTRACT.write_text(CONTRACT.format(count=count), encoding="utf-8")
    (row,) = gpu_checks.contracts()
    assert (row["worst"], row["passed"]) == (worst, worst == 0)


def test_lapack_beside_a_device_that_had_no_time_for_it(device, results, monkeypatch):
    monkeypatch.setattr(gpu_checks, "LAPACK_UP_TO", 8)
    bench_gpu.measure(device, TINY, results, ("checks",))
    monkeypatch.setattr(sys, "argv", ["lapack_beside.py", str(results.target)])
    monkeypatch.setattr(gpu_tables, "put_tables", lambda path: None)
    lapack_beside.main()
    rows = json.loads(results.target.read_text(encoding="utf-8"))["checks"]
    beside = [
        row["lapack"] for row in rows if row["what"] == "eigenvalues" and row["of"] in gpu_checks.spectra(2)
    ]
    assert len(beside) == 10
    assert all(0 <= error < 20 for error in beside)
