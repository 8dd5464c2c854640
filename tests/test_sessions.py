"""What a session or a notebook shows and asks of runs, spectra and reports."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import runs

import ntkspec
from ntkspec.display import MOST_ROWS, html_table, listed
from ntkspec.errors import NotInstalledError, RunFileError, UsageError
from ntkspec.report.to_csv import SNAPSHOT_COLUMNS
from ntkspec.report.write import write_json_file

MOST_LINES, MOST_LETTERS = 10, 800


@pytest.fixture(scope="module")
def report():
    return ntkspec.analyze_runs(["data/golden/mpe.h5", "data/golden/ffe.h5"], backend="cpu")


@pytest.fixture(scope="module")
def run():
    with ntkspec.open_run("data/golden/mpe.h5") as opened:
        yield opened


@pytest.fixture(scope="module")
def total(run):
    return ntkspec.spectrum(run["init"].jacobian, backend="cpu")


def aligned(run):
    return ntkspec.alignment(run["init"].jacobian, run["init"].outputs, backend="cpu")


def things(run, report, total):
    """Yield everything that a user meets in a session."""
    jac = run["init"].jacobian
    snapshot = report["MPE"]["init"]
    yield from (run, run["init"], jac, total, report, report["MPE"], snapshot)
    for some in (jac, jac.load()):
        for block in some:
            yield from (block, *block.factors, *block.parameters)
    yield from (total.rank, total.regions, ntkspec.bounds.theorem1(total), *ntkspec.bounds.certified(jac))
    yield from (*snapshot.bounds, *snapshot.checks, *snapshot.distances.values(), snapshot.eigenfunctions)
    yield ntkspec.eigenfunctions(ntkspec.spectrum(jac, backend="cpu", vectors=True), jac, backend="cpu")
    yield from (ntkspec.bounds.form(jac), ntkspec.bounds.positivity(ntkspec.bounds.form(jac)))
    yield from (aligned(run), ntkspec.operator(jac, backend="cpu"))


def test_reprs_are_short(run, report, total):
    for thing in things(run, report, total):
        assert repr(thing).count("\n") < MOST_LINES, thing
        assert len(repr(thing)) < MOST_LETTERS, thing


def test_one_is_no_plural(report):
    factor = ntkspec.DenseFactor(np.ones((1, 1, 1)))
    block = ntkspec.Block("w", "network", 1, 1, None, factor)
    run = dataclasses.replace(report["MPE"], samples=1, outputs=1)
    for thing in (factor, block, ntkspec.Jacobian((block,)), run):
        assert "1 sample, 1 output" in repr(thing)
        assert not re.search(r"\b1 \w+s\b", repr(thing))
    assert "1 sample, 1 output<" in run._repr_html_()


def test_a_report_of_many_runs_and_a_jacobian_of_many_blocks_are_short(run, report):
    copies = (dataclasses.replace(report.runs[0], label=f"run {i}") for i in range(100))
    many = dataclasses.replace(report, runs=tuple(copies))
    assert repr(many).count("\n") < MOST_LINES
    assert repr(many).endswith("and 92 more")
    block = run["init"].jacobian.blocks[0]
    copies = (dataclasses.replace(block, name=f"layers.{i}") for i in range(100))
    assert len(repr(ntkspec.Jacobian(tuple(copies)))) < MOST_LETTERS


def test_notebooks_show_tables(run, report, total):
    for thing, text in (
        (run, "init"),
        (run["init"], "Jacobian"),
        (run["init"].jacobian, "sparse"),
        (total, "40 of 40 eigenvalues"),
        (report, "no_grid"),
        (report["MPE"], "lambda_min"),
        (report["MPE"]["init"], "total"),
    ):
        shown = thing._repr_html_()
        assert text in shown
        assert shown.count("<tr>") == shown.count("</tr>") >= 2


def test_tables_escape_texts_and_end():
    shown = html_table("<script>", ["<b>"], [["<i>", 1]] * (MOST_ROWS + 5))
    assert not any(tag in shown for tag in ("<script>", "<b>", "<i>"))
    assert shown.count("&lt;i&gt;") == MOST_ROWS
    assert "... and 5 more" in shown
    assert "more" not in html_table("t", ["a"], [[1]] * MOST_ROWS)
    assert (listed(["a", "b"], most=2), listed(["a", "b"], most=1)) == ("a, b", "a and 1 more")


def test_what_is_no_array_says_which_arrays_it_has(run, report, total):
    for thing, expected in (
        (total, r"\.eigenvalues"),
        (run, r"\.inputs"),
        (run["init"], r"\.outputs"),
        (report, r"to_frame\(\)"),
        (report["MPE"], "eigenvalues"),
        (report["MPE"]["init"], "eigenvalues"),
        (run["init"].jacobian, r"gram\(jac\)"),
        (run["init"].jacobian.blocks[0], "to_dense"),
        (run["init"].jacobian.load().blocks[0].right, "to_dense"),
        (aligned(run), r"\.target"),
        (ntkspec.bounds.theorem1(total), r"\.values"),
    ):
        for use in (np.asarray, np.log10, lambda x: np.array([x, x]), lambda x: np.ones(3) * x):
            with pytest.raises(UsageError, match=expected):
                use(thing)


def test_a_spectrum_as_a_frame_and_as_plain_values(total):
    assert len(total) == len(total.eigenvalues) == 40
    frame = total.to_frame()
    assert [*frame.columns] == ["index", "eigenvalue", "error", "resolved", "floor", "zero"]
    assert frame["eigenvalue"].tolist() == total.eigenvalues.tolist()
    assert frame["resolved"].sum() == total.resolved
    assert frame["index"].tolist() == [*range(1, 41)]
    plain = json.loads(json.dumps(total.to_dict(), allow_nan=False))
    assert plain["eigenvalues"] == total.eigenvalues.tolist()
    assert plain["lambda_min"] == total.lambda_min


def test_zeros_beyond_the_rank_are_marked_in_the_frame():
    factor = ntkspec.DenseFactor(np.arange(8.0).reshape(4, 1, 2) ** 2)
    low = ntkspec.spectrum(
        ntkspec.Jacobian((ntkspec.Block("w", "network", 4, 1, None, factor),)), backend="cpu"
    )
    frame = low.to_frame()
    assert frame["zero"].tolist() == [False, False, True, True]
    assert frame["resolved"].tolist() == [True, True, False, False]


def test_a_report_as_a_frame(report):
    frame = report.to_frame()
    assert [*frame.columns][: len(SNAPSHOT_COLUMNS)] == [*SNAPSHOT_COLUMNS]
    assert len(frame) == sum(len(snap.spectra) for run in report for snap in run)
    (row,) = frame.query("run == 'MPE' and spectrum == 'no_grid'").to_dict("records")
    spectrum = report["MPE"]["init"].spectra["no_grid"]
    assert (row["size"], row["resolved"]) == (spectrum.size, spectrum.resolved)
    assert row["lambda_max"] == spectrum.lambda_max
    unknown = [name for name in frame if frame[name].isna().all()]
    assert "modes_for_90_percent" in unknown
    assert {frame[name].dtype for name in unknown} == {np.dtype(np.float64)}  # NaN, not None


def test_a_perfect_picture_has_an_infinite_psnr(report, tmp_path):
    """In place of the flag that run files have, which hold finite numbers alone."""
    (snapshot,) = report["MPE"]
    flagged = dataclasses.replace(snapshot, metrics={"psnr_db_infinite": 1.0})
    one = dataclasses.replace(report["MPE"], snapshots=(flagged,))
    both = dataclasses.replace(report, runs=(one, report["FFE"]))
    frame = both.to_frame()
    assert "psnr_db_infinite" not in frame
    assert frame[frame["run"] == "MPE"]["psnr_db"].tolist() == [np.inf] * len(snapshot.spectra)
    with ntkspec.open_run(runs.write_run(tmp_path / "run.h5", metrics={"psnr_db_infinite": 1.0})) as run:
        for thing in (flagged, one, both, run, run["init"]):
            shown = thing._repr_html_()
            assert "psnr_db_infinite" not in shown
            assert "psnr_db</t" in shown
            assert ">inf<" in shown
        assert "psnr_db inf" in repr(run["init"])


def test_without_pandas_a_frame_says_what_to_install(total, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(NotInstalledError, match=r'pip install "ntkspec\[notebook\]"'):
        total.to_frame()


def test_runs_and_reports_are_asked_by_label_and_step(run, report):
    assert run["init"] is run[0] is run[-1] is next(iter(run))
    assert len(run) == len(run.snapshots)
    assert [each.label for each in report] == ["MPE", "FFE"]
    assert len(report) == 2
    assert report["MPE"][0] is report["MPE"]["init"] is report["MPE"][-1] is next(iter(report["MPE"]))
    assert report[0] is report[np.int64(0)] is report["MPE"]
    assert report[-1] is report["FFE"]
    assert run["0"] is run[np.int64(0)] is run["init"]
    for ask in (lambda: run[False], lambda: run[0.0], lambda: run[np.zeros(2)], lambda: run["9" * 5000]):
        with pytest.raises(UsageError, match="expected one of init"):
            ask()
    for ask in (lambda: run["end"], lambda: report["MPE"]["end"]):
        with pytest.raises(UsageError, match=r"expected one of init \(label 'init', step 0\), got 'end'"):
            ask()
    for key in ("MPE ", 2, -3, True, None):
        with pytest.raises(UsageError, match="expected one of MPE, FFE, got"):
            _ = report[key]
    with pytest.raises(UsageError, match="expected one of init"):
        _ = run[-2]


def test_whether_something_is_there_is_asked_as_the_thing_itself_is(run, report):
    jacobian = run["init"].jacobian
    for whole, inside, outside in (
        (run, ("init", "0", 0, -1, run[0]), ("end", 1, None, np.zeros(2), report)),
        (report["MPE"], ("init", 0, report["MPE"][0]), ("end", 1, report["FFE"][0])),
        (report, ("MPE", 1, report["FFE"]), ("MPE ", 2, run)),
        (jacobian, (jacobian.names[0], jacobian.blocks[0]), ("grid", 0, jacobian)),
    ):
        assert all(each in whole for each in inside)
        assert not any(each in whole for each in outside)


def test_a_label_that_several_snapshots_share_names_the_last(report):
    (snapshot,) = report["MPE"]
    shared = [
        dataclasses.replace(snapshot, id=id, label="best", step=step)
        for id, step in (("best", 3), ("best-10", 10))
    ]
    run = dataclasses.replace(report["MPE"], snapshots=tuple(shared))
    assert run["best"].step == run.snapshot("best").step == run["best-10"].step == run.end.step == 10
    assert run["3"].step == run[3].step == run[-2].step == 3
    with pytest.raises(UsageError, match=r"expected one of best .*, got 0"):
        run[0]  # a step, not a place
    later = dataclasses.replace(snapshot, id="x", label="later", step=20)
    ended = dataclasses.replace(run, snapshots=(dataclasses.replace(snapshot, label="end"), later))
    assert ended.end.label == "end"
    assert "end" in dataclasses.replace(report, runs=(ended,))._repr_html_()


def test_what_is_not_resolved_is_no_number_in_a_repr():
    noise = ntkspec.Spectrum(np.array([3e-15, 1e-15]), np.zeros(2), 1e-14, 2, 4e-15, "gram", "float64")
    assert repr(noise) == (
        "Spectrum(0 of 2 eigenvalues resolved above 1.0e-14 by gram, largest unresolved (<= 1.0e-14), "
        "smallest unresolved (<= 1.0e-14))"
    )
    assert noise.effective_rank is None
    largest = ntkspec.Spectrum(np.array([4.0, 2.0]), np.zeros(2), 1e-14, 9, 7.0, "lanczos", "float64")
    assert "2 of the 2 largest of 9 eigenvalues" in repr(largest)


# -- an earlier report takes another run


def test_runs_beside_a_report_that_was_read(report, tmp_path, monkeypatch):
    write_json_file(report, tmp_path / "report.json")
    read = ntkspec.read_report(tmp_path / "report.json")
    opened = []
    from ntkspec.runs import side_by_side

    monkeypatch.setattr(
        side_by_side, "open_run", lambda path, **more: opened.append(path) or ntkspec.open_run(path, **more)
    )
    both = ntkspec.analyze_runs(
        "data/golden/mpe-hashed.h5", beside=read, baseline="FFE", samples=20, backend="cpu"
    )
    assert [str(path) for path in opened] == ["data/golden/mpe-hashed.h5"]
    assert [each.label for each in both][:2] == ["MPE", "FFE"]
    assert both["MPE"]["init"].spectra["total"].eigenvalues.tolist() == (
        report["MPE"]["init"].spectra["total"].eigenvalues.tolist()
    )
    assert both.baseline == "FFE"
    assert {comparison.run for comparison in both.comparisons} == {"MPE"}  # the third has other samples
    assert any("its samples are not those of data/golden/mpe.h5" in line for line in both.warnings)
    assert not any("computed earlier" in line for line in both.warnings)


def test_a_file_that_is_analysed_again_replaces_its_run_and_says_so(report, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(Path("data/golden/mpe.h5").absolute())
    compared = ntkspec.analyze_runs("data/golden/mpe-hashed.h5", beside=report, baseline="MPE", backend="cpu")
    again = ntkspec.analyze_runs(link, beside=compared, backend="cpu", k=3)
    assert [len(each["init"].spectra["total"]) for each in again] == [40, 40, 3]
    assert again.runs[2].label == again.baseline == "MPE"
    assert len(again.comparisons) == 2
    assert [line for line in again.warnings if "analysed again" in line] == [
        f"{link}: analysed again; the earlier result of data/golden/mpe.h5 is left out"
    ]


def test_a_copy_in_an_earlier_report_stays(tmp_path):
    for name in ("a", "b"):
        shutil.copy("data/golden/mpe.h5", tmp_path / f"{name}.h5")
    both = ntkspec.analyze_runs([tmp_path / "a.h5", tmp_path / "b.h5"], backend="cpu", k=3)
    again = ntkspec.analyze_runs(tmp_path / "a.h5", beside=both, backend="cpu", k=3)
    assert [Path(each.path).name for each in again] == ["b.h5", "a.h5"]


def test_another_file_of_the_same_path_stands_beside(report):
    elsewhere = dataclasses.replace(
        report, runs=tuple(dataclasses.replace(each, inputs="other samples") for each in report)
    )
    both = ntkspec.analyze_runs("data/golden/mpe.h5", beside=elsewhere, backend="cpu", k=3)
    assert [each.label for each in both] == ["MPE [mpe]", "FFE", "MPE [mpe] #2"]
    assert any("its samples are not those of" in line for line in both.warnings)


def test_a_file_is_told_by_its_place_and_its_content(tmp_path, monkeypatch):
    """Wherever the command is: paths from another folder are of other files, a copy is the same file."""
    inputs = np.random.default_rng(0).random((8, 2))

    def written(path: str, scale: float) -> None:
        Path(path).parent.mkdir(exist_ok=True)
        ntkspec.write_run(path, inputs, inputs[:, 0], {"w": scale * inputs}, overwrite=True)

    def beside(path: str, report: ntkspec.Report) -> list[str]:
        return [each.label for each in ntkspec.analyze_runs(path, beside=report, backend="cpu")]

    monkeypatch.chdir(tmp_path)
    written("a/run.h5", 1.0)
    written("b/run.h5", 2.0)
    monkeypatch.chdir("a")
    write_json_file(ntkspec.analyze_runs("run.h5", backend="cpu"), tmp_path / "report.json")
    report = ntkspec.read_report(tmp_path / "report.json")
    monkeypatch.chdir("../b")
    assert beside("run.h5", report) == ["run [run]", "run [run] #2"]  # another file of the same name
    assert beside("../a/run.h5", report) == ["run"]
    Path("../a/run.h5").rename("moved.h5")
    assert beside("moved.h5", report) == ["run"]
    written("../a/run.h5", 3.0)
    assert beside("../a/run.h5", report) == ["run"]  # trained again, at the same place
    (run,) = report
    assert run.digest
    old = dataclasses.replace(report, runs=(dataclasses.replace(run, digest=None, place=None),))
    assert beside("run.h5", old) == ["run"]  # version 0.2.0 wrote the path alone
    strange = dataclasses.replace(old, runs=(dataclasses.replace(old[0], path="a\0\ud800"),))
    assert len(beside("run.h5", strange)) == 2


def test_runs_of_an_earlier_report_keep_their_origin(report, tmp_path):
    old = dataclasses.replace(report, producer="ntkspec 0.0.1", backend="gpu")
    write_json_file(old, tmp_path / "old.json")
    both = ntkspec.analyze_runs(
        "data/golden/mpe-hashed.h5", beside=ntkspec.read_report(tmp_path / "old.json"), backend="cpu",
        precision="float32",
    )  # fmt: skip
    write_json_file(both, tmp_path / "both.json")
    third = ntkspec.analyze_runs(
        "data/golden/foreign.h5", beside=ntkspec.read_report(tmp_path / "both.json"), backend="cpu"
    )
    assert [each.origin for each in third] == ["ntkspec 0.0.1 on the gpu"] * 2 + ["", ""]
    assert "data/golden/mpe.h5: computed earlier, by ntkspec 0.0.1 on the gpu" in third.warnings
    assert any("kernels in float32, those of data/golden/mpe.h5 in float64" in line for line in both.warnings)


def test_the_baseline_of_a_report_stays_whatever_its_label_is_now(tmp_path, monkeypatch):
    """As that of two runs of one label, once one of them is analysed again beside the other."""
    monkeypatch.chdir(tmp_path)
    for seed, path in enumerate(("p.h5", "q.h5")):
        x = np.random.default_rng(seed).random((6, 8))
        ntkspec.write_run(path, x[:, :2] * 0, x[:, 0], {"w": x}, run_label="net")
    both = ntkspec.analyze_runs(["p.h5", "q.h5"], baseline="net [p]", backend="cpu")
    for path in ("p.h5", "q.h5"):
        again = ntkspec.analyze_runs(path, beside=both, backend="cpu")
        assert again.baseline == next(run.label for run in again if run.path == "p.h5")
        assert again.comparisons
    empty = dataclasses.replace(both, runs=(), baseline=None)
    assert len(ntkspec.analyze_runs("p.h5", beside=empty, backend="cpu")) == 1


def test_labels_that_a_report_has_already_are_told_apart(report):
    copy = dataclasses.replace(
        report,
        runs=tuple(
            dataclasses.replace(each, path=f"old/{each.label}.h5", digest=None, place=None) for each in report
        ),
    )
    both = ntkspec.analyze_runs("data/golden/ffe.h5", beside=copy, backend="cpu", k=3)
    assert [each.label for each in both] == ["MPE", "FFE [FFE]", "FFE [ffe] #2"]


def test_a_file_is_analysed_once(tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(Path("data/golden/mpe.h5").absolute())
    with pytest.raises(UsageError, match=r"expected each run file once, got .*link.h5 twice"):
        ntkspec.analyze_runs(["data/golden/mpe.h5", link], backend="cpu")


def test_only_a_report_stands_beside():
    with pytest.raises(UsageError, match=r"expected a report, got 'report.json'; ntkspec.read_report"):
        ntkspec.analyze_runs("data/golden/ffe.h5", beside="report.json", backend="cpu")


def test_kernels_of_another_output_mode_do_not_stand_beside(report):
    with pytest.raises(
        UsageError, match="beside: run 'MPE': expected kernels with outputs='full'"
    ) as refused:
        ntkspec.analyze_runs("data/golden/ffe.h5", beside=report, outputs="full", backend="cpu")
    assert refused.value.at_command_line().endswith("got 'trace'; analyse with --outputs trace")


def test_the_command_takes_an_earlier_report(report, tmp_path, capsys, monkeypatch):
    from ntkspec.analyze import main

    monkeypatch.setattr("ntkspec.report.figures.draw_all", lambda report: iter(()))  # nobody looks at them
    write_json_file(report, tmp_path / "report.json")
    words = [
        "data/golden/mpe-hashed.h5",
        "--beside",
        str(tmp_path / "report.json"),
        "-o",
        str(tmp_path / "x"),
    ]
    assert main([*words, "-q", "--backend", "cpu", "--json", str(tmp_path / "both.json")]) == 0
    assert len(ntkspec.read_report(tmp_path / "both.json")) == 3
    assert main(["data/golden/ffe.h5", "--beside", str(tmp_path / "none.json"), "-q"]) == 2
    assert "expected a file report.json" in capsys.readouterr().err


def test_a_run_that_was_not_finished_is_named(tmp_path):
    (tmp_path / "run.h5.part").touch()
    with pytest.raises(RunFileError, match=r"run\.h5\.part is there, which its writer has not finished"):
        ntkspec.open_run(tmp_path / "run.h5")
