"""`python -m ntkspec.analyze` and `validate`, end to end, and `analyze_runs`."""

from __future__ import annotations

import json
from dataclasses import replace

import cases
import h5py
import numpy as np
import pytest
import runs

import ntkspec
from ntkspec import validate
from ntkspec.analyze import analyze_runs, main
from ntkspec.errors import OutputError, UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.kernel import enclosure
from ntkspec.store import open_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def singular(n=12, c=2):
    """A network without a grid whose kernel has rank 5 at most."""
    return Jacobian((cases.block("layer", None, cases.dense(np.random.default_rng(0), n, c, 2), n, c),))


def test_one_run_default_folder(here, capsys):
    runs.write_run(here / "run.h5", label="MPE")
    assert main(["run.h5"]) == 0
    out = capsys.readouterr().out
    assert "Report: run-report/index.html" in out
    assert "no_grid" in out
    assert (here / "run-report/figures/spectra.png").stat().st_size > 1000
    report = json.loads((here / "run-report/report.json").read_text())
    assert (report["format"], report["version"]) == ("ntkspec-report", 1)
    run = report["runs"][0]
    assert (run["label"], run["samples"], run["outputs"], run["mode"], run["size"]) == (
        "MPE",
        12,
        2,
        "trace",
        12,
    )
    end = run["snapshots"][1]
    assert set(end["spectra"]) == {"total", "no_grid", "grid"}
    assert end["spectra"]["no_grid"]["blocks"] == ["layer.0", "layer.1"]
    with open_run(here / "run.h5") as file:
        kernel = ntkspec.gram(file.snapshot("end").jacobian)
    assert np.allclose(end["spectra"]["total"]["eigenvalues"], np.linalg.eigvalsh(kernel)[::-1])
    names = {bound["name"] for bound in end["bounds"]}
    assert {"theorem1", "weyl_lower", "weyl_upper", "certified_lower", "certified_upper"} <= names
    assert {"schur_product", "cauchy_lower", "gershgorin_scaled_lower", "wolkowicz_styan_upper"} <= names
    assert all(bound["holds"] for bound in end["bounds"])
    certified = {(b["of"], b["side"]): b["values"][0] for b in end["bounds"] if b["certified"]}
    for name in ("total", "grid"):
        smallest = end["spectra"][name]["lambda_min"]
        assert 0.9 * smallest < certified[name, "lower"] <= smallest <= certified[name, "upper"]
    assert {check["name"] for check in end["checks"]} == {"trace", "semidefinite"}
    assert all(check["holds"] for check in end["checks"])


def test_check_computes_everything_a_second_way(here, undrawn, capsys):
    runs.write_run(here / "run.h5", label="MPE")
    assert main(["run.h5", "--check", "--outputs", "full"]) == 0
    out = capsys.readouterr().out
    assert "Checks hold: trace, semidefinite, additivity, symmetry, tiles, routes" in out
    report = json.loads((here / "run-report/report.json").read_text())
    checks = {check["name"]: check for check in report["runs"][0]["snapshots"][0]["checks"]}
    assert all(check["holds"] and 0 <= check["worst"] <= 1 for check in checks.values())
    assert "Checks of these numbers" in (here / "run-report/index.html").read_text()


def test_regions_that_nothing_obeys_are_said(here, undrawn, capsys):
    with runs.RunWriter(here / "run.h5", inputs=np.random.default_rng(0).random((12, 2))) as run:
        with run.snapshot("end", step=1, label="end") as snapshot:
            snapshot.write(0, np.ones((12, 2)), cases.mixed(12), np.zeros(12, np.int64))
    assert main(["run.h5"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "activation regions say nothing of the gradients of some" in out
    assert "level.0, level.1, layer.0, layer.1" in out


def test_bounds_that_do_not_fit_are_left_out_and_said(here, undrawn, capsys, monkeypatch):
    monkeypatch.setattr(enclosure, "KERNELS_HELD", 3.0)
    runs.write_run(here / "run.h5", cases.mixed(300), steps=(1,))
    assert main(["run.h5", "--memory", "0.0019", "--method", "gram", "--details"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "left out bounds from the kernel's entries: kernel of 300 samples, with what is needed beside it"
        in out
    )
    assert "raise memory" not in out  # an option of the command, and an argument of scripts
    assert "Theorem 1 holds" in out


def test_a_report_with_added_files_is_replaced_where_asked(here, undrawn, capsys):
    runs.write_run(here / "run.h5", label="MPE")
    assert main(["run.h5", "-q"]) == 0
    (here / "run-report/notes.txt").write_text("precious")
    assert main(["run.h5"]) == 2
    assert "one that holds 'notes.txt'; give --overwrite to keep it there" in capsys.readouterr().err
    assert main(["run.h5", "--overwrite", "-q"]) == 0
    assert (here / "run-report/notes.txt").read_text() == "precious"


def test_several_runs_are_compared_with_the_baseline(here, undrawn, capsys):
    runs.write_run(here / "b.h5", singular(), label="baseline")
    runs.write_run(here / "m.h5", label="MPE")
    assert main(["m.h5", "b.h5", "-o", "out", "--json", "out.json", "--details"]) == 0
    report = json.loads((here / "out.json").read_text())
    end = next(c for c in report["comparisons"] if c["snapshot"] == "end")
    assert (end["run"], end["baseline"], end["of"], end["qualifier"]) == ("MPE", "baseline", "total", ">=")
    assert end["decades"] > 10
    base = report["runs"][1]["snapshots"][1]["spectra"]["total"]
    assert base["lambda_min"] == 0
    assert base["rank"] == {
        "at_most": 4,
        "reason": "4 nonzero columns of J",
        "singular": True,
        "refuted": False,
    }
    assert base["condition"] is None
    assert min(base["eigenvalues"]) >= 0
    out = capsys.readouterr().out
    assert "total: exactly singular: rank <= 4 of 12, 4 nonzero columns of J" in " ".join(out.split())
    assert "-0" not in out


def test_a_word_alone_is_one_ablation(here):
    """A script's `drop="grid"` was taken letter by letter."""
    runs.write_run(here / "run.h5")
    alone, listed = (ntkspec.analyze_runs("run.h5", drop=drop, k=3) for drop in ("level.0", ["level.0"]))
    assert [*alone.runs[0].snapshots[0].spectra] == [*listed.runs[0].snapshots[0].spectra]


@pytest.mark.parametrize("drop", [3, None, [3], [["grid", 3]], [[]], [b"grid"]])
def test_ablations_that_are_no_words(drop):
    with pytest.raises(UsageError, match="drop: expected words, each a role or the name of a block"):
        ntkspec.analyze_runs("run.h5", drop=drop)


def test_drop_sets_get_their_own_names_and_theorem(here):
    runs.write_run(here / "run.h5")
    report = analyze_runs(["run.h5"], drop=[["layer.0"], ["grid", "layer.1"]], snapshot="end")
    snap = report.runs[0].snapshots[0]
    assert snap.spectra["no_layer.0"].blocks == ("level.0", "level.1", "layer.1")
    assert snap.spectra["no_grid+layer.1"].blocks == ("layer.0",)
    assert sum(checked.bound.name == "theorem1" and checked.holds for checked in snap.bounds) == 3


def test_further_roles_appear_under_their_own_names(here):
    blocks = [
        cases.block(f"b{i}", None, cases.dense(np.random.default_rng(i), 6, 1, 4), 6, 1, role)
        for i, role in enumerate(["network", "bias", "grid"])
    ]
    runs.write_run(here / "run.h5", Jacobian(tuple(blocks)))
    spectra = analyze_runs(["run.h5"]).runs[0].snapshots[0].spectra
    assert set(spectra) == {"total", "no_grid", "grid", "bias"}
    assert spectra["no_grid"].blocks == ("b0", "b1")


def test_a_kernel_that_is_there_is_not_computed_again(here):
    """`--drop grid` made "no_grid #2"."""
    blocks = [
        cases.block(f"b{i}", None, cases.dense(np.random.default_rng(i), 6, 1, 4), 6, 1, role)
        for i, role in enumerate(["network", "grid"])
    ]
    runs.write_run(here / "run.h5", Jacobian(tuple(blocks)))
    spectra = analyze_runs(["run.h5"], drop=["grid", "b1", "b1"]).runs[0].snapshots[0].spectra
    assert [*spectra] == ["total", "no_grid", "grid", "no_b1"]


def test_roles_and_names_cannot_take_the_place_of_a_sum(here):
    rng = np.random.default_rng(0)
    roles = {"a": "network", "grid": "network", "lv": "grid", "t": "total", "n": "no_grid", "e": ""}
    blocks = [cases.block(name, None, cases.dense(rng, 6, 1, 4), 6, 1, role) for name, role in roles.items()]
    runs.write_run(here / "run.h5", Jacobian(tuple(replace(b, order=i) for i, b in enumerate(blocks))))
    snap = analyze_runs(["run.h5"], snapshot="end", drop=[["a"], ["no_grid"]]).runs[0].snapshots[0]
    assert snap.spectra["total"].blocks == tuple(roles)
    assert snap.spectra["grid"].blocks == ("lv",)
    assert snap.spectra["no_grid"].blocks == ("a", "grid", "t", "n", "e")
    assert {"role total", "role no_grid", "role ", "no_a", "no_no_grid"} <= set(snap.spectra)
    assert all(checked.holds for checked in snap.bounds)


def test_a_word_that_is_a_role_and_a_block_drops_both_and_this_is_said(here):
    rng = np.random.default_rng(0)
    roles = {"a": "network", "grid": "network", "lv": "grid"}
    blocks = [cases.block(name, None, cases.dense(rng, 6, 1, 4), 6, 1, role) for name, role in roles.items()]
    runs.write_run(here / "run.h5", Jacobian(tuple(replace(b, order=i) for i, b in enumerate(blocks))))
    said = "dropping 'grid' leaves out the block of that name and all blocks of that role"
    run = analyze_runs(["run.h5"], snapshot="end", drop=["grid"]).runs[0]
    assert run.snapshots[0].spectra["no_grid #2"].blocks == ("a",)
    assert [said in line for line in run.warnings] == [True]
    assert not analyze_runs(["run.h5"], snapshot="end", drop=["lv", "network"]).runs[0].warnings


def test_runs_of_different_outputs_are_not_compared(here):
    runs.write_run(here / "a.h5", cases.mixed(12, 2), label="a")
    runs.write_run(here / "b.h5", cases.mixed(12, 3), label="b")
    report = analyze_runs(["a.h5", "b.h5"], baseline="a")
    assert report.comparisons == ()
    assert any("not compared" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    ("method", "outputs"),
    [("auto", "full"), ("auto", "1"), *[(method, "trace") for method in ("gram", "svd", "dual", "lanczos")]],
)
def test_methods_and_modes(here, method, outputs, request):
    if (method, outputs) != ("auto", "full"):  # whose figures are drawn
        request.getfixturevalue("undrawn")
    runs.write_run(here / "run.h5")
    assert (
        main(["run.h5", "--method", method, "--outputs", outputs, "-k", "4", "-q", "--snapshot", "end"]) == 0
    )
    total = json.loads((here / "run-report/report.json").read_text())["runs"][0]["snapshots"][0]["spectra"][
        "total"
    ]
    assert len(total["eigenvalues"]) == 4
    assert total["lambda_min"] is None
    assert not total["complete"]


def test_results_do_not_depend_on_the_memory_budget(here):
    runs.write_run(here / "run.h5", cases.mixed(200))
    whole = analyze_runs(["run.h5"], snapshot="end", method="gram").runs[0].snapshots[0]
    need = 200 * 200 * 8 * 1.5 / 2**30
    tight = analyze_runs(["run.h5"], snapshot="end", method="gram", memory=need).runs[0].snapshots[0]
    for name, spectrum in whole.spectra.items():
        assert (np.abs(spectrum.eigenvalues - tight.spectra[name].eigenvalues) <= spectrum.error).all()


def test_other_samples_are_warned_of(here, undrawn, capsys):
    runs.write_run(here / "a.h5", cases.mixed(12), label="a")
    runs.write_run(here / "b.h5", cases.mixed(11), label="b")
    assert main(["a.h5", "b.h5"]) == 0
    assert "its samples are not those of a.h5" in " ".join(capsys.readouterr().out.split())


def test_an_interrupted_file_is_analysed_with_a_warning(here, undrawn, capsys):
    runs.write_run(here / "run.h5")
    with h5py.File("run.h5", "r+") as file:
        file.attrs["complete"] = False
        file["snapshots/end"].attrs["complete"] = False
    assert main(["run.h5"]) == 0
    assert "ignored unfinished snapshots: end" in " ".join(capsys.readouterr().out.split())


BAD = {
    "absent": (["nothing.h5"], "no such file"),
    "text": (["notes.txt"], "not HDF5"),
    "folder": (["."], "a folder"),
    "no snapshot of that name": (["run.h5", "--snapshot", "late"], "init (label 'init', step 0)"),
    "no baseline of that label": (["run.h5", "--baseline", "x"], "--baseline"),
    "the same file twice": (["run.h5", "./run.h5"], "expected each run file once"),
    "unknown block": (["run.h5", "--drop", "gird"], "level.0"),
    "drops everything": (["run.h5", "--drop", "grid", "network"], "at least one block left"),
    "output too large": (["run.h5", "--outputs", "7"], "0 to 1"),
    "k too large": (["run.h5", "-k", "99"], "1 to 12"),
    "memory too small": (["run.h5", "--memory", "1e-9"], "budget"),
    "svd in float32": (["run.h5", "--method", "svd", "--precision", "float32"], "float64"),
    "no gpu": (["run.h5", "--backend", "gpu"], "--backend cpu"),
    "one of two is bad": (["run.h5", "notes.txt"], "notes.txt"),
    "NaN": (["nan.h5"], "finite"),
    "report is a stranger's folder": (["run.h5", "-o", "strangers"], "strangers"),
    "report is a file": (["run.h5", "-o", "notes.txt"], "notes.txt"),
    "json into nowhere": (["run.h5", "--json", "no/where.json"], "no/where.json"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_code_2_and_leaves_nothing(name, here, capsys):
    runs.write_run(here / "run.h5")
    (here / "notes.txt").write_text("hello")
    (here / "strangers").mkdir()
    (here / "strangers/thesis.tex").write_text("mine")
    with h5py.File(runs.write_run(here / "nan.h5"), "r+") as file:
        file["snapshots/end/blocks/layer.0/left"][0, 0] = np.nan
    before = sorted(str(path) for path in here.rglob("*"))
    words, expected = BAD[name]
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert expected in captured.err
    assert sorted(str(path) for path in here.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["run.h5", "-k", "0"],
        ["run.h5", "--memory", "nan"],
        ["run.h5", "--method", "qr"],
        ["run.h5", "--outputs", "all"],
        [""],
        ["run.h5", "-o", ""],
        ["run.h5", "--kernels", ""],
        ["run.h5", "--everywhere", ""],
    ],
)
def test_bad_usage_is_code_2_and_one_line(words, here, capsys):
    with pytest.raises(SystemExit) as done:
        main(words)
    assert done.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_hostile_names_do_not_break_out_of_the_line(here, undrawn, capsys):
    runs.write_run(here / "run.h5", label="a\nb\x1b[31m[bold]")
    assert main(["run.h5", "--snapshot", "x\ny"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert main(["run.h5", "-v"]) == 0
    captured = capsys.readouterr()
    assert "memory plan of a b [31m[bold], " in captured.err
    assert "\x1b" not in captured.out + captured.err


def test_an_old_report_survives_a_failed_one(here, undrawn, capsys):
    runs.write_run(here / "run.h5")
    assert main(["run.h5", "-q"]) == 0
    before = (here / "run-report/report.json").read_bytes()
    assert main(["run.h5", "--memory", "1e-9"]) == 2
    assert (here / "run-report/report.json").read_bytes() == before
    assert main(["run.h5", "-q"]) == 0


def test_a_report_that_stays_where_its_json_fails_is_named(here, undrawn, capsys, monkeypatch):
    def full(*_):
        raise OutputError(
            "x.json", expected="a place that can be written", got="a full disk", remedy="free some"
        )

    runs.write_run(here / "run.h5")
    monkeypatch.setattr("ntkspec.report.write.write_json_file", full)
    assert main(["run.h5", "--json", "x.json"]) == 2
    assert capsys.readouterr().err.endswith("got a full disk; free some; the report is in run-report\n")
    assert (here / "run-report/report.json").exists()


def test_validate(here, capsys):
    runs.write_run(here / "run.h5")
    runs.foreign_run(here / "other.h5")
    assert validate.main(["run.h5", "other.h5"]) == 0
    assert capsys.readouterr().out.count("valid.") == 2
    with h5py.File("other.h5", "r+") as file:
        file["snapshots/γ 1/outputs"][0, 0] = np.inf
    assert validate.main(["run.h5", "other.h5", "absent.h5"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 2
    assert captured.out.count("valid.") == 1
    assert validate.main(["run.h5", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_validate_names_a_few_of_many_snapshots(here, capsys):
    """A line of a recording of 500 snapshots filled several screens."""
    with runs.RunWriter("run.h5", inputs=np.zeros((12, 1))) as run:
        for step in range(20):
            with run.snapshot(f"{step:02}", step=step, label=f"step {step}" if step else "init") as snapshot:
                snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
    assert validate.main(["run.h5"]) == 0
    out = capsys.readouterr().out
    assert "valid. Without a label, by ntkspec" in out
    assert out.endswith(
        "; 20 snapshots: init (step 0), step 1, step 2, step 3, step 4, step 5, ..., step 19\n"
    )


def test_validate_prints_one_line_whatever_a_file_says(here, capsys):
    hostile = "a\nb\x1b[31m"
    with runs.RunWriter("run.h5", inputs=np.zeros((12, 1)), label=hostile) as run:
        with run.snapshot(hostile, step=0, label=hostile) as snapshot:
            snapshot.write(0, np.ones((12, 2)), cases.mixed(12))
    with h5py.File("run.h5", "r+") as file:
        file.attrs["producer"] = hostile
        file.copy(f"snapshots/{hostile}", f"snapshots/{hostile}2")
        file[f"snapshots/{hostile}2"].attrs["complete"] = False
        file.attrs["complete"] = False
    assert validate.main(["run.h5"]) == 0
    captured = capsys.readouterr()
    assert (captured.out.count("\n"), captured.err.count("\n")) == (1, 1)
    assert "\x1b" not in captured.out + captured.err


def test_analyze_runs_wants_a_run():
    with pytest.raises(UsageError, match="one or more"):
        analyze_runs([])
