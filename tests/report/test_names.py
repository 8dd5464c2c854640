"""Names: no two runs, snapshots or kernels of a report pass for each other, at any width."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import cases
import numpy as np
import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

from ntkspec.analyze import analyze_runs
from ntkspec.errors import UsageError
from ntkspec.jacobian import Jacobian
from ntkspec.report.compare import assemble, find_baseline, sample_warnings, unique_labels
from ntkspec.report.names import (
    apart,
    kernel_names,
    look,
    named_snapshots,
    numbered,
    run_names,
    short,
    snapshot_name,
)
from ntkspec.report.page import plot_data
from ntkspec.report.page_table import front
from ntkspec.report.records import Report, RunReport
from ntkspec.report.style import styled_runs
from ntkspec.report.summary import comparison_table
from ntkspec.report.to_csv import write_csv
from ntkspec.store.texts import storable

from . import samples
from .shown import printed

# Labels of which many collide with what is appended to others: "a [s]", "a [s] #2", "A", "a ", "#2".
PIECES = st.lists(
    st.sampled_from(["a", "A", " ", " [s]", " #2", " #3", "\n", "\x00", "e\u0301", "é", "x" * 50])
)
LABELS = st.lists(PIECES.map("".join), min_size=1, max_size=7)


@given(LABELS)
def test_no_two_labels_look_alike(labels: list[str]) -> None:
    found = unique_labels([(label, Path(f"{i % 2}/s.h5")) for i, label in enumerate(labels)])
    assert len(set(map(look, found))) == len(labels)
    own = [storable(label).strip() or "s" for label in labels]
    for i, label in enumerate(own):  # who shares a name with nobody keeps it
        if [look(other) for other in own].count(look(label)) == 1:
            assert found[i] == label


@given(LABELS, st.sampled_from([12, 16, 28, 40]))
def test_short_names_are_apart(labels: list[str], limit: int) -> None:
    names = short(tuple(labels), limit)
    assert len(set(map(look, names))) == len(labels)
    assert all(len(name) <= limit and (name.isprintable()) for name in names)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a b", " a  b"),
        ("Fine", "fine"),
        ("é", "e\u0301"),
        ("ＡＢ", "AB"),
        ("a\x01", "a\x02"),
        ("ﬁne", "fine"),
    ],
)
def test_what_looks_alike_is_told_apart(one: str, other: str) -> None:
    assert look(one) == look(other)
    assert unique_labels([(one, Path("x.h5")), (other, Path("y.h5"))]) == [
        f"{one.strip()} [x]",
        f"{other.strip()} [y]",
    ]


def test_names_of_files_that_are_not_text() -> None:
    assert unique_labels([("", Path("caf\udce9.h5"))]) == ["caf\N{REPLACEMENT CHARACTER}"]


def test_appended_names_give_way_to_given_ones() -> None:
    assert apart(["a", "b", "a", "a #2"], lambda _: numbered("a")) == ["a", "b", "a #3", "a #2"]
    three = [("x", Path("p/s.h5")), ("x", Path("q/s.h5")), ("x [s]", Path("t.h5"))]
    assert unique_labels(three) == ["x [s] #2", "x [s] #3", "x [s]"]


def test_the_baseline_is_a_run_and_not_a_label() -> None:
    own = ["x", "x", "y", "Baseline"]
    labels = unique_labels([(label, Path(f"{i}.h5")) for i, label in enumerate(own)])
    configs = [{}, {}, {}, {}]
    assert find_baseline(labels, own, configs, None) == 3
    assert find_baseline(labels, own, [{}, {"preset": "baseline"}, {}, {}], None) == 3  # a label says more
    assert find_baseline(["y", "z"], ["y", "z"], [{}, {"preset": "baseline"}], None) == 1
    assert find_baseline(["y", "baseline"], ["y", ""], [{}, {}], None) == 1  # by the name of its file
    assert find_baseline(labels, own, configs, "x [1]") == 1
    assert find_baseline(labels, own, configs, "y") == 2
    with pytest.raises(UsageError, match=r"one of x \[0\], x \[1\], got 'x', which they share"):
        find_baseline(labels, own, configs, "x")
    with pytest.raises(UsageError, match="got 'z'"):
        find_baseline(labels, own, configs, "z")


def test_without_a_baseline_of_that_name_nothing_is_compared() -> None:
    assert find_baseline(["y", "z"], ["y", "z"], [{}, {}], None) is None
    shared = ["y", "baseline [b]", "Baseline [c]"]  # such as seeds of one network
    assert find_baseline(shared, ["y", "baseline", "Baseline"], [{}, {}, {}], None) is None
    seeds = [{"preset": "baseline"}] * 2
    assert find_baseline(["seed 1", "seed 2"], ["seed 1", "seed 2"], seeds, None) is None
    found = assemble([samples.plain_run(name, 9, 0.5, size=4) for name in "yz"], None, "cpu")
    assert found.baseline is None
    assert found.comparisons == ()


@pytest.mark.parametrize("apart", [{"inputs": "others"}, {"samples": 5}, {"outputs": 2}, {"mode": 0}])
def test_kernels_that_cannot_be_compared_have_no_decades(apart: dict[str, Any]) -> None:
    found = [replace(samples.plain_run(name, 9, 0.5, size=4), inputs="these") for name in "xyz"]
    found[2] = replace(found[2], **apart)
    report = assemble(found, 1, "cpu")
    assert {each.run for each in report.comparisons} == {"x"}
    assert [row.decades for row in comparison_table(report).rows] == ["reference", "= 0.0", "-"]
    assert [column.cells for column in front(report).columns if "decades" in column.name] == [
        ("reference", "0.0", "-")
    ]
    alone = assemble(found[1:], 0, "cpu")
    assert alone.comparisons == ()
    assert not [column for column in front(alone).columns if "decades" in column.name]
    assert "decades" not in printed(alone, 100, details=True)


def test_what_is_unlike_the_first_run_is_warned_of() -> None:
    first, other = (replace(samples.plain_run(name, 9, 0.5, size=4), inputs="these") for name in "xy")
    assert sample_warnings([first]) == [()]
    assert sample_warnings([first, other]) == [(), ()]
    assert sample_warnings([first, replace(other, inputs=None)]) == [(), ()]  # of an older report
    end = other.snapshots[-1]
    single = replace(end, spectra={"total": replace(end.spectra["total"], precision="float32")})
    for changes, said in (
        ({"inputs": "others"}, "its samples are not those of runs/x.h5; lambda_min depends on them"),
        ({"outputs": 2}, "2 outputs, runs/x.h5 has 1; not compared"),
        ({"snapshots": (single,)}, "kernels in float32, those of runs/x.h5 in float64"),
    ):
        unlike = replace(other, **changes)
        report = assemble([first, unlike], None, "cpu")
        assert report.warnings == report["y"].warnings == (f"runs/y.h5: {said}",)
        assert report["x"].warnings == ()
        once = assemble([replace(first, warnings=report.warnings), unlike], None, "cpu")
        assert once.warnings == report.warnings


def test_a_run_alone_is_compared_with_none() -> None:
    report = assemble([samples.plain_run("baseline", 9, 0.5, size=4)], 0, "cpu")
    assert (report.baseline, report.comparisons) == (None, ())


def test_snapshots_that_the_baseline_has_not_are_compared_with_none() -> None:
    run, baseline = (samples.plain_run(name, 9, 0.5, size=4) for name in "xy")
    baseline = replace(baseline, snapshots=baseline.snapshots[-1:])
    assert [each.snapshot for each in assemble([run, baseline], 1, "cpu").comparisons] == ["end"]


def test_snapshots_without_a_label_are_compared_at_the_end_alone() -> None:
    """Of others nothing says that they are of the same time in training."""
    whole = [samples.plain_run(name, 9, 0.5, size=4) for name in "xy"]
    bare = [replace(run, snapshots=tuple(replace(snap, label="") for snap in run.snapshots)) for run in whole]
    assert [each.snapshot for each in assemble(bare, 0, "cpu").comparisons] == [""]
    ended = [
        replace(run, snapshots=(*run.snapshots[:-1], own.snapshots[-1]))
        for run, own in zip(bare, whole, strict=True)
    ]
    assert [each.snapshot for each in assemble(ended, 0, "cpu").comparisons] == ["end"]


def test_a_report_refuses_two_runs_of_one_label() -> None:
    run = samples.plain_run("a", 9, 0.5, size=4)
    with pytest.raises(UsageError, match="a label of its own"):
        Report("", "", "cpu", (run, run))


def _scaled(scale: float) -> Jacobian:
    values = scale * np.random.default_rng(1).standard_normal((5, 1, 9))
    return Jacobian((cases.block("w", None, cases.DenseFactor(values), 5, 1),))


@pytest.mark.parametrize("baseline", ["a [s]", "last"])
def test_every_row_has_its_own_decades(tmp_path: Path, baseline: str) -> None:
    """lambda_min grows by 10^2 with each run, whose labels are such that appended names would collide."""
    labels = ["a", "a", "a [s] #2", "A", "a" * 60 + "1", "a" * 60 + "2", "last"]
    for i, label in enumerate(labels):
        (tmp_path / f"{i}").mkdir()
        runs.write_run(tmp_path / f"{i}/s.h5", _scaled(10.0**i), label=label, steps=(1,), config={})
    report = analyze_runs([tmp_path / f"{i}/s.h5" for i in range(len(labels))], baseline=baseline)
    first = 0 if baseline == "a [s]" else 6
    table = comparison_table(report)
    for row in table.rows:
        expected = "reference" if row.run.index == first else f"= {2.0 * (row.run.index - first):.1f}"
        assert row.decades == expected
        assert row.course == (expected,)
    lines = printed(report, 100, details=True).partition("Comparison")[2].splitlines()
    for row in table.rows:
        assert sum(line.startswith(f"{row.run.short}  ") for line in lines) == 1
    file = io.StringIO()
    write_csv(report, file)
    rows = [tuple(row[:5]) for row in csv.reader(io.StringIO(file.getvalue()))]
    assert len(set(rows)) == len(rows) == 1 + 5 * len(labels)
    assert len({run["name"] for run in plot_data(report)["runs"]}) == len(labels)


def _with_labels(run: RunReport, labels: list[str]) -> RunReport:
    snapshots = [replace(snap, label=label) for snap, label in zip(run.snapshots, labels, strict=True)]
    return replace(run, snapshots=tuple(snapshots))


def test_snapshots_are_told_apart() -> None:
    """A label that is another snapshot's id, two that are equal where they are cut, equal ones."""
    run = samples.plain_run("a", 9, 0.5, size=4)  # ids step000000, step000750, step001500
    for labels, names in (
        (["init", "mid", "end"], ["init", "mid", "end"]),
        (["x", "x", "end"], ["step000000", "step000750", "end"]),
        (["", "step000000", "end"], ["step000000", "step000750", "end"]),
        (["x", "x", "step000000"], ["x [step000000]", "step000750", "step000000"]),
    ):
        named = _with_labels(run, labels)
        assert [snapshot_name(named, snap) for snap in named.snapshots] == names
    long = _with_labels(run, ["after the first epoch", "after the second epoch", "after the first hour"])
    cut = [name for name, _ in named_snapshots(long, 12)]
    assert cut == ["after th… #1", "after the s…", "after th… #2"]
    text = printed(samples.one_run(long), 100, details=True)
    assert all(f"after the fi… #{i}" in text for i in (1, 2))


def test_kernels_are_told_apart() -> None:
    run = samples.plain_run("a", 9, 0.5, size=4)
    total = run.snapshots[0].spectra["total"]
    names = ["total", "grid", "grid ", "no_" + "layer+" * 9 + "a", "no_" + "layer+" * 9 + "b"]
    spectra = dict.fromkeys(names, total)
    report = samples.one_run(replace(run, snapshots=(replace(run.snapshots[0], spectra=spectra),)))
    assert len(set(kernel_names(report.runs, 20).values())) == 5
    assert len({curve["kernel"] for curve in plot_data(report)["runs"][0]["curves"]}) == 5
    assert "grid #1" in printed(report, 100, details=True)


def test_names_of_runs_without_any() -> None:
    labels = ["", "\x00", " "]
    report = Report("", "", "cpu", tuple(samples.plain_run(label, 9, 0.5, size=4) for label in labels))
    names = run_names(report, 40)
    assert names[0] == "run 1"
    assert len(set(names)) == 3
    assert [run.name for run in styled_runs(report)] == list(names)


def test_a_dropped_block_that_is_called_grid(tmp_path: Path) -> None:
    """Its sum is called no_grid, where there is no spectrum of the role grid beside it."""
    blocks = [
        cases.block(name, None, cases.dense(np.random.default_rng(i), 6, 1, 4), 6, 1, order=i)
        for i, name in enumerate(["grid", "layer"])
    ]
    runs.write_run(tmp_path / "run.h5", Jacobian(tuple(blocks)))
    report = analyze_runs([tmp_path / "run.h5"], drop=[["grid"]], snapshot="end")
    snap = report.runs[0].snapshots[0]
    assert snap.spectra["no_grid"].blocks == ("layer",)
    assert [b.sources for b in snap.bounds if b.bound.name == "theorem1"] == [("no_grid",)]
    assert all(b.holds for b in snap.bounds)
