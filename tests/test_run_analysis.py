"""`analyze_run`: one run file, here or in a worker process, and reports put together of what came back."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

import cases
import numpy as np
import oracles
import pytest
import runs

import ntkspec
from ntkspec.analyze import analyze_runs, main
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.report.compare import assemble, find_baseline, sample_warnings
from ntkspec.report.from_json import read_report
from ntkspec.report.to_json import to_json
from ntkspec.report.write import write_json_file
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.runs.settings import digest, draw
from ntkspec.spectral import distance

GOLDEN = Path(__file__).parent.parent / "data" / "golden"
FILES = [GOLDEN / "baseline-patch.h5", GOLDEN / "mpe.h5"]


def tree(report):
    return {**to_json(report), "created": None}


def test_workers_find_what_this_process_finds():
    settings = RunSettings(backend="cpu", drop=(("mlp.output",),), snapshot="init")
    assert pickle.loads(pickle.dumps(settings)) == settings
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found = [future.result() for future in [pool.submit(analyze_run, path, settings) for path in FILES]]
    whole = analyze_runs(FILES, backend="cpu", drop=[["mlp.output"]], snapshot="init")
    reference = find_baseline(
        [run.label for run in found], [run.label for run in found], [run.config for run in found], None
    )
    assert tree(assemble(found, reference, "cpu")) == tree(whole)
    assert "no_mlp.output" in found[0].snapshots[0].spectra
    assert ["its samples are not those of" in line for line in whole.warnings] == [True]


def test_a_picture_comes_back_from_a_run(tmp_path):
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    with runs.RunWriter(tmp_path / "run.h5", inputs=np.zeros((12, 2))) as run:
        run.picture("truth", picture)
        with run.snapshot("end", step=1, label="end") as snapshot:
            snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
    found = pickle.loads(pickle.dumps(analyze_run(tmp_path / "run.h5")))
    assert np.array_equal(found.truth, picture)
    assert found.label == "run"


def test_every_step_and_plan_is_told(tmp_path):
    path = runs.write_run(tmp_path / "run.h5", label="mine")
    steps, plans = [], []
    analyze_run(path, RunSettings(snapshot="end"), progress=steps.append, detail=plans.append)
    assert steps[-1] == "mine, end: bounds"
    assert plans[0].startswith("memory plan of mine, end, budget")
    assert plans[-1] == "  eigenvectors of total, to align the targets with: computed"
    before = list(plans)
    analyze_run(path, RunSettings(memory=1.0), detail=plans.append)  # once for both snapshots
    first, *others, last = plans[len(before) :]
    assert first == "memory plan of mine, init, budget 1 GiB"
    assert len(others) == len(before) - 1
    assert last == "memory plan of mine, end, budget 1 GiB: as before"


def test_a_plan_that_returns_is_told_again(tmp_path):
    small, large = cases.mixed(12), cases.mixed(12).without("grid")
    with ntkspec.RunWriter(tmp_path / "run.h5", inputs=np.zeros((12, 2))) as run:
        for step, jacobian in enumerate((small, large, small, small)):
            with run.snapshot(str(step), step=step, label="") as snapshot:
                snapshot.write(0, np.zeros((12, jacobian.outputs)), jacobian)
    told = []
    analyze_run(tmp_path / "run.h5", RunSettings(memory=1.0, backend="cpu"), detail=told.append)
    plans = [line.endswith(": as before") for line in told if "memory plan of" in line]
    assert plans == [False, False, False, True]


def test_several_files_are_analysed_with_the_settings_of_one():
    parameters = inspect.signature(analyze_runs).parameters
    assert {name: parameters[name].default for name in asdict(RunSettings())} == asdict(RunSettings())


@pytest.mark.parametrize("asked", [{"k": 3}, {"method": "lanczos"}])
def test_a_check_needs_all_eigenvalues(asked):
    with pytest.raises(UsageError, match=r"^check: expected all eigenvalues"):
        RunSettings(check=True, **asked)


def test_reports_of_runs_are_put_together_after_they_were_read(tmp_path):
    """Comparisons and warnings of several runs, from files of one each."""
    runs.write_run(tmp_path / "a.h5", cases.mixed(12), label="a", steps=(1,))
    runs.write_run(tmp_path / "b.h5", cases.mixed(11), label="b", steps=(1,))
    runs.write_run(tmp_path / "c.h5", cases.mixed(12, 3), label="c", steps=(1,))
    paths = [tmp_path / f"{name}.h5" for name in "abc"]
    whole = analyze_runs(paths, backend="cpu", baseline="a")
    read = []
    for path in paths:
        write_json_file(assemble([analyze_run(path)], None, "cpu"), path.with_suffix(".json"))
        read += read_report(path.with_suffix(".json")).runs
    together = assemble(read, 0, "cpu")
    assert tree(together) == tree(whole)
    assert len(together.warnings) == 2
    assert tree(assemble(together.runs, 0, "cpu")) == tree(whole)  # nothing is said twice
    unknown = [replace(run, inputs=None) for run in read]
    assert [*chain(*sample_warnings(unknown))] == [line for line in together.warnings if "output" in line]


def test_equal_samples_have_one_digest_and_others_another():
    samples = np.array([[0.0, 0.5], [1.0, 2.0]])
    alike = (
        samples.astype(np.float32),
        np.asfortranarray(samples),
        samples - 0.0,
        np.where(samples, samples, -0.0),
    )
    assert {digest(each) for each in alike} == {digest(samples)}
    others = (
        samples[::-1],
        samples.T,
        samples.reshape(1, 4),
        samples[:1],
        np.nextafter(samples, 9),
        samples + 1,
    )
    assert len({digest(each) for each in (samples, *others)}) == 7


def test_some_of_the_samples(tmp_path):
    """The same ones of every snapshot and of every run of as many samples."""
    jac = cases.mixed(30)
    first, second = (runs.write_run(tmp_path / f"{name}.h5", jac, label=name) for name in ("a", "b"))
    settings = RunSettings(samples=12, seed=3, backend="cpu")
    picked = draw(30, settings)
    assert len({*picked}) == 12
    assert picked.tolist() == sorted(picked)
    found, other = analyze_run(first, settings), analyze_run(second, settings)
    assert found.samples == other.samples == 12
    expected = np.linalg.eigvalsh(oracles.kernel(jac, "trace")[np.ix_(picked, picked)])[::-1]
    for snapshot in found.snapshots:
        assert np.allclose(snapshot.spectra["total"].eigenvalues, expected)
    assert draw(30, RunSettings(samples=12, seed=4)).tolist() != picked.tolist()
    assert draw(30, RunSettings(samples=30)).tolist() == [*range(30)]
    with ntkspec.open_run(first) as run:
        assert found.inputs == digest(run.inputs[picked])
    assert found.inputs == analyze_runs([first], samples=12, seed=3, backend="cpu").runs[0].inputs
    assert found.inputs != analyze_run(first, RunSettings(samples=12, seed=4)).inputs


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"samples": 31}, "^samples: expected at most the run's 30, got 31"),
        ({"samples": 0}, "^samples: expected"),
        ({"samples": 2.5}, "^samples: expected"),
        ({"samples": 3, "seed": -1}, "^seed: expected"),
    ],
)
def test_samples_that_there_are_not(asked, said, tmp_path):
    path = runs.write_run(tmp_path / "run.h5", cases.mixed(30))
    with pytest.raises(UsageError, match=said):
        analyze_run(path, RunSettings(**asked))


def test_some_of_the_samples_by_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs.write_run(tmp_path / "run.h5", cases.mixed(30), steps=(1,))
    words = ["run.h5", "--samples", "9", "--seed", "2", "--backend", "cpu", "-q", "--kernels", "kernels"]
    assert main(words) == 0
    (run,) = read_report("run-report/report.json").runs
    assert run.samples == run.snapshots[0].spectra["total"].size == 9
    assert ["9 of its 30 samples, drawn at random by seed 2" in line for line in run.warnings] == [True]
    assert main(["run.h5", "--samples", "99", "-q"]) == 2
    assert main(["run.h5", "--seed", "1", "-q"]) == 2


def test_a_check_that_memory_is_short_for_is_named(tmp_path):
    """The bounds are there; the second kernel is left out, and said to be."""
    path = runs.write_run(tmp_path / "run.h5", cases.mixed(300), steps=(1,))
    found = analyze_run(path, RunSettings(check=True, backend="cpu", memory=2.2e6 / 2**30))
    (snapshot,) = found.snapshots
    assert {"certified_lower", "gershgorin_upper"} <= {bound.bound.name for bound in snapshot.bounds}
    assert "additivity" not in {check.name for check in snapshot.checks}
    assert ["left out checks of a second kernel and spectrum: " in line for line in found.warnings] == [True]


def with_grid(power, total=0):
    """A network and a grid, whose numbers are multiplied by 10^(total + power), others by 10^total."""
    powers = {"grid": total + power, "network": total}
    blocks = (
        replace(block, right=block.right.map(lambda values, to=10.0 ** powers[block.role]: values * to))
        for block in cases.mixed(9)
    )
    return Jacobian(tuple(blocks))


def test_a_part_that_is_out_of_range_is_left_out_and_named(tmp_path):
    """The other kernels are there, at both snapshots; so is the part where it is in range."""
    path = tmp_path / "run.h5"
    with runs.RunWriter(path, inputs=np.zeros((9, 2))) as run:
        for step, (name, power) in enumerate({"init": -130, "mid": 0, "end": -175}.items()):
            with run.snapshot(name, step=step, label=name) as snapshot:
                snapshot.write(0, np.zeros((9, 2)), with_grid(power))
    report = analyze_runs([path], backend="cpu")
    (found,) = report
    init, mid, end = found.snapshots
    assert {*init.spectra} == {*end.spectra} == {"total", "no_grid"}
    assert {*mid.spectra} == {"total", "no_grid", "grid"}
    assert found.warnings == (
        f"{path}, init: left out kernel grid: expected entries between 1e-200 and 1e+200 in float64, "
        "got 7e-259 where they are largest",
        f"{path}, end: left out kernel grid: expected entries between 1e-200 and 1e+200 in float64, "
        "got gradients too small to be squared",
    )
    assert all(checked.holds for snapshot in found.snapshots for checked in snapshot.bounds)
    assert "kernel grid of the first snapshot: expected entries" in mid.distances["grid"].reason
    assert mid.distances["total"].value is not None
    assert found.snapshots[-1].spectra["total"].rank.at_most == 9
    write_json_file(report, tmp_path / "report.json")
    assert tree(read_report(tmp_path / "report.json")) == tree(report)


def test_a_total_that_is_out_of_range_is_named(tmp_path, capsys):
    path = runs.write_run(tmp_path / "run.h5", with_grid(0, 101), steps=(1,))
    with pytest.raises(UsageError, match=r"run\.h5, snapshot end: kernel total: .*got .*e\+2"):
        analyze_run(path)
    assert main([str(path), "-q", "--backend", "cpu", "-o", str(tmp_path / "report")]) == 2
    assert "run.h5, snapshot end: kernel total: expected entries" in capsys.readouterr().err


@pytest.mark.parametrize("power", [-98, 97])
def test_numbers_near_the_ends_of_the_range(power, tmp_path):
    """All bounds and checks hold, with targets, at an output alone; NumPy warns of nothing."""
    path = runs.write_run(tmp_path / "run.h5", with_grid(0, power), steps=(1, 2))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = analyze_run(path, RunSettings(outputs=1, check=True, backend="cpu"))
    assert len(found.snapshots) == 2
    for snapshot in found.snapshots:
        assert snapshot.distances["total"].value is not None
        assert snapshot.alignments["total"].residual is not None
        assert all(checked.holds for checked in (*snapshot.bounds, *snapshot.checks))


def test_an_output_may_be_numbered_by_numpy(tmp_path):
    path = runs.write_run(tmp_path / "run.h5", cases.mixed(9), steps=(1,))
    report = analyze_runs(path, outputs=np.int64(1), k=1, backend="cpu")
    write_json_file(report, tmp_path / "report.json")
    assert read_report(tmp_path / "report.json")[0].mode == 1


def test_a_role_may_have_no_gradient_at_the_output_that_is_analysed(tmp_path):
    jac = cases.mixed(9)
    for block in jac.only("grid"):
        block.right.values[:, 0] = 0
    path = runs.write_run(tmp_path / "run.h5", jac, steps=(1,))
    spectra = analyze_run(path, RunSettings(outputs=0, backend="cpu")).snapshots[0].spectra
    assert {name: spectrum.zero for name, spectrum in spectra.items()} == {
        "total": False,
        "no_grid": False,
        "grid": True,
    }


def test_a_distance_that_does_not_fit_is_said_without_options(tmp_path, monkeypatch):
    def full(*_):
        raise MemoryBudgetError("kernel", expected="at most 1 MiB", got="2 MiB", remedy="raise ⟦--memory⟧")

    monkeypatch.setattr(distance, "distances", full)
    path = runs.write_run(tmp_path / "run.h5", steps=(0, 1))
    (found,) = analyze_runs([path], backend="cpu")
    assert found.snapshots[1].distances["total"].reason == "kernel: expected at most 1 MiB, got 2 MiB"


def test_options_that_cannot_work_are_refused_before_kernels_are_written(tmp_path):
    """The kernels of a snapshot, which may take hours, were written first."""
    with pytest.raises(UsageError, match=r"^k: expected 1 to 40 eigenvalues, got 41") as refused:
        analyze_runs(FILES[1], k=41, kernels=tmp_path / "kernels")
    assert refused.value.at_command_line().startswith("-k: ")
    assert not list(tmp_path.iterdir())
