"""`ntkspec.analyze --everywhere`: a further file is matched and checked, and its pictures are right."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.analyze import analyze_runs, main
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.report.figures.eigenfunctions import draw as fig_eigenfunctions
from ntkspec.runs.everywhere import everywhere_of
from ntkspec.store import RunWriter

SHAPE = (5, 6)
SAMPLED = np.array([0, 4, 7, 11, 12, 15, 19, 22, 23, 26, 29])


def pixels() -> np.ndarray:
    height, width = SHAPE
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def write(path: Path, rows: np.ndarray, jacobian: Jacobian | None = None, **changes: Any) -> Path:
    """A run file at some of the pixels."""
    inputs, rng = pixels()[rows], np.random.default_rng(0)
    targets, outputs = rng.random((30, 2))[rows], rng.random((30, 2))[rows]
    given = {"inputs": inputs, "outputs": outputs, "label": "a run", "snapshots": ("init", "end")} | changes
    jacobian = cases.mixed(30).rows(rows) if jacobian is None else jacobian
    with RunWriter(
        path, inputs=given["inputs"], targets=targets, label=given["label"], config={}, overwrite=True
    ) as run:
        for step, name in enumerate(given["snapshots"]):
            with run.snapshot(name, step=step, label=name) as snapshot:
                snapshot.write(0, given["outputs"], jacobian)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "run.h5", SAMPLED)
    write(tmp_path / "all.h5", np.arange(30)[::-1], snapshots=("end",))
    return tmp_path


def test_eigenfunctions_over_the_whole_picture(here):
    (run,) = analyze_runs(["run.h5"], everywhere=["all.h5"], backend="cpu").runs
    init, end = (snap.eigenfunctions for snap in run.snapshots)
    with ntkspec.open_run("run.h5") as file:
        jac = file.snapshot("end").jacobian.load()
    found = ntkspec.eigenfunctions(ntkspec.spectrum(jac, vectors=True), jac, cases.mixed(30))
    assert init.modes == end.modes == (1, 2, 3, 4, 8)
    assert end.points.shape == (30, 2)
    assert np.allclose(end.patterns[::-1], found.values, atol=1e-6)
    assert np.allclose(end.patterns[::-1][SAMPLED], init.patterns, atol=1e-6)
    expected = [ntkspec.radial_frequency(mode.reshape(SHAPE)) for mode in found.values.T]
    assert end.frequencies == pytest.approx(expected)
    assert init.frequencies == (None,) * 5
    assert np.array_equal(init.points, pixels()[SAMPLED])
    assert end.eigenvalues == tuple(run.snapshots[1].spectra["total"].eigenvalues[[0, 1, 2, 3, 7]])


def test_the_command_draws_them(here, capsys, monkeypatch):
    def only(report):
        yield "eigenfunctions", fig_eigenfunctions(report)

    monkeypatch.setattr("ntkspec.report.figures.draw_all", only)  # the others, and the page, take their time
    monkeypatch.setattr("ntkspec.report.page.render_page", lambda report, figures: "")
    assert main(["run.h5", "--everywhere", "all.h5", "--snapshot", "end", "-q"]) == 0
    report = json.loads((here / "run-report/report.json").read_text())
    modes = report["runs"][0]["snapshots"][0]["eigenfunctions"]
    assert [mode["mode"] for mode in modes] == [1, 2, 3, 4, 8]
    assert all(mode["radial_frequency"] > 0 for mode in modes)
    assert (here / "run-report/figures/eigenfunctions.png").stat().st_size > 1000
    assert main(["run.h5", "--everywhere", "all.h5", "-o", "x", "--json", "all.h5"]) == 2
    assert "all.h5" in capsys.readouterr().err


def test_each_file_goes_to_the_run_that_it_fits(here):
    """Also where two runs have one label: by what their networks give."""
    other = {"outputs": np.random.default_rng(9).random((30, 2))}
    write(here / "other.h5", SAMPLED, outputs=other["outputs"][SAMPLED])
    write(here / "all-other.h5", np.arange(30), snapshots=("end",), **other)
    write(here / "third.h5", SAMPLED, label="third")
    report = analyze_runs(
        ["run.h5", "third.h5", "other.h5"], everywhere=["all-other.h5", "all.h5"], snapshot="end"
    )
    first, third, last = (run.snapshots[0].eigenfunctions for run in report.runs)
    assert np.array_equal(first.points, pixels()[::-1])
    assert np.array_equal(last.points, pixels())
    assert third.frequencies == (None,) * 5


def test_inputs_in_single_precision_are_those_in_double(here):
    single = pixels().astype(np.float32)
    write(here / "single.h5", SAMPLED, inputs=single[SAMPLED])
    write(here / "double.h5", np.arange(30), inputs=single.astype(np.float64), snapshots=("end",))
    analyze_runs(["single.h5"], everywhere="double.h5", snapshot="end")


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_outputs_are_compared_relative_to_the_largest(scale, here):
    outputs = scale * np.random.default_rng(2).random((30, 2))
    write(here / "some.h5", SAMPLED, outputs=outputs[SAMPLED])
    for change, fits in ((1e-9, True), (1e-7, False)):
        write(here / "every.h5", np.arange(30), outputs=outputs * (1 + change), snapshots=("end",))
        with ntkspec.open_run("some.h5") as run, ntkspec.open_run("every.h5") as file:
            refused = pytest.raises(UsageError, match=r"outputs that some\.h5 has at the 11 inputs of both")
            with contextlib.nullcontext() if fits else refused:
                everywhere_of(file, run, ["end"])


def test_no_eigenfunctions_where_there_is_no_plane(here):
    write(here / "line.h5", SAMPLED, inputs=pixels()[SAMPLED, :1])
    for path, options in (("line.h5", {}), ("run.h5", {"outputs": "full"}), ("run.h5", {"method": "dual"})):
        (run,) = analyze_runs([path], snapshot="end", **options).runs
        assert run.snapshots[0].eigenfunctions is None


ALL = np.arange(30)
BAD = {
    "another label": ({"label": "x"}, {}, "expected the label of a run ('a run'), got 'x'"),
    "blocks": ({"jacobian": cases.mixed(30).without("grid")}, {}, "the parameters of its rows"),
    "outputs": ({"outputs": np.zeros((30, 2))}, {}, "has at the 11 inputs of both, got others, by up to"),
    "no input of both": ({"inputs": pixels() + 0.01}, {}, "by which the network is known again, got none"),
    "coordinates": ({"inputs": pixels()[:, :1]}, {}, "inputs of two coordinates"),
    "another snapshot": ({}, {"snapshot": "init"}, "a snapshot of run.h5 that is analysed (init), got end"),
    "mode full": ({}, {"outputs": "full"}, "got mode full"),
    "no vectors": ({}, {"method": "dual"}, "everywhere: expected method auto or gram"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_belong_together_is_refused(name, here):
    changes, options, said = BAD[name]
    write(here / "bad.h5", ALL, **{"snapshots": ("end",), "jacobian": cases.mixed(30)} | changes)
    with pytest.raises(UsageError) as refused:
        analyze_runs(["run.h5"], everywhere=["bad.h5"], **options)
    assert said in str(refused.value)


def test_two_files_of_one_run_and_other_weights_are_one_line_and_code_2(here, capsys):
    jac = cases.mixed(30)
    wider = replace(jac.blocks[0], parameters=(ntkspec.Parameter("p", (2, 9)),))
    write(here / "wider.h5", ALL, Jacobian((wider, *jac.blocks[1:])), snapshots=("end",))
    for words in (["--everywhere", "all.h5", "--everywhere", "all.h5"], ["--everywhere", "wider.h5"]):
        assert main(["run.h5", *words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: --everywhere ")
        assert err.count("\n") == 1
    assert not (here / "run-report").exists()
