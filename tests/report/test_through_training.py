"""21 snapshots in, 21 shown: of every output, and of the plots against the step."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import cases
import numpy as np
import pytest
import runs

import ntkspec
from ntkspec.report import figures
from ntkspec.report.figures import captions
from ntkspec.report.figures.spectra import draw as fig_spectra
from ntkspec.report.figures.training import draw as fig_training
from ntkspec.report.moments import by_step, step_colour
from ntkspec.report.page import render_page
from ntkspec.report.page_plot import plot_data
from ntkspec.report.records import Report, RunReport
from ntkspec.report.themes import on_dark
from ntkspec.report.thinning import few
from ntkspec.report.through_training import StepAxis, course
from ntkspec.report.to_csv import write_snapshots_csv
from ntkspec.report.to_json import dumps
from ntkspec.runs.analysis import RunSettings, analyze_run
from ntkspec.spectral import Rank
from ntkspec.spectral.distance import KernelDistance

from . import samples
from .shown import printed, rows
from .test_page import DATA, Reader

STEPS = [*range(0, 1050, 50)]
SAID = ["at 0", *(f"at {i}, step {50 * i}" for i in range(1, 21))]  # "at 0" says its step itself
APART = [0.4 * (i / 20) for i in range(21)]


def long_run(label: str = "x", steps: list[int] = STEPS, *, grid: bool = True, size: int = 12) -> RunReport:
    """A run of many snapshots whose kernel flattens and turns."""
    made = samples.grid_run if grid else samples.plain_run
    end = made(label, 7, 0.5, size=size).snapshots[-1]
    snapshots = []
    for i, step in enumerate(steps):
        share = i / max(len(steps) - 1, 1)
        total = samples.decaying(size, 2e4 * (1 + share), 10 - 5 * share)
        apart = {name: KernelDistance(0.4 * share, "s0") for name in end.spectra}
        snapshots.append(
            replace(end, id=f"s{i}", step=step, label=f"at {i}", spectra={**end.spectra, "total": total},
                    picture=None, distances=apart)
        )  # fmt: skip
    return replace(made(label, 7, 0.5, size=size), snapshots=tuple(snapshots))


@pytest.fixture(scope="module")
def report() -> Report:
    return samples.one_run(long_run())


@pytest.mark.usefixtures("undrawn")
def test_every_output_has_all_snapshots(report: Report, tmp_path: Path) -> None:
    report.write(tmp_path / "report")
    ids, names = [f"s{i}" for i in range(21)], [f"at {i}" for i in range(21)]
    tree = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [snap["id"] for snap in tree["runs"][0]["snapshots"]] == ids
    found = ntkspec.read_report(tmp_path / "report" / "report.json").runs[0].snapshots
    assert [snap.distances["grid"].value for snap in found] == APART
    for file in ("spectra.csv", "snapshots.csv"):
        with (tmp_path / "report" / file).open(newline="") as lines:
            seen = [(row["snapshot"], row["spectrum"]) for row in csv.DictReader(lines)]
        kernels = ("total", "no_grid", "grid")
        assert list(dict.fromkeys(seen)) == [(name, kernel) for name in names for kernel in kernels]
    reader = Reader((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    data = json.loads(reader.scripts[DATA])
    assert [group["name"] for group in data["groups"]] == SAID
    assert all(group["shown"] for group in data["groups"])
    assert {
        c["snapshot"] for c in data["runs"][0]["curves"] if data["kernels"][c["kernel"]] == "no_grid"
    } == set(SAID)
    for series in data["training"]["runs"][0].values():
        assert series["at"] == STEPS
        assert series["values"][3]["number"] == pytest.approx(APART, abs=1e-6)
    marked = [
        attributes["data-snapshot"] for tag, attributes in reader.elements if "data-snapshot" in attributes
    ]
    assert {*marked} == {*names}


def test_the_figures_draw_all_snapshots(report: Report) -> None:
    spectra = fig_spectra(report)
    assert spectra is not None
    curves = [line for line in spectra.axes[0].lines if len(np.asarray(line.get_xdata())) > 2]
    assert len({str(line.get_color()) for line in curves}) == len(curves) == 21
    training = fig_training(report)
    assert training is not None
    titles = [axes.get_title() for axes in training.axes]
    assert titles[2:] == ["effective rank", "kernel distance from the first snapshot", "PSNR (dB)", "MS-SSIM"]
    total = [snap.spectra["total"] for snap in report.runs[0].snapshots]
    expected = (
        [each.lambda_max for each in total],
        [each.lambda_min for each in total],
        [each.effective_rank for each in total],
        APART,
        [snap.metrics["psnr_db"] for snap in report.runs[0].snapshots],
        [snap.metrics["ms_ssim"] for snap in report.runs[0].snapshots],
    )
    for axes, values in zip(training.axes, expected, strict=True):
        line = axes.lines[-1]  # behind it the floor
        assert np.asarray(line.get_xdata()).tolist() == STEPS
        assert np.asarray(line.get_ydata()).tolist() == values


def test_several_runs_have_a_panel_each() -> None:
    three = tuple(long_run(label, grid=False) for label in ("a", "b", "c"))
    other = long_run("d", [0, 1, 7], grid=False)  # a run whose three snapshots are no stages
    figure = fig_spectra(replace(samples.one_run(three[0]), runs=(*three, other)))
    assert figure is not None
    panels = [axes for axes in figure.axes if axes.get_xscale() == "log"]
    counts = [sum(len(np.asarray(line.get_xdata())) > 2 for line in axes.lines) for axes in panels]
    assert counts == [21, 21, 21, 3]
    data = plot_data(replace(samples.one_run(three[0]), runs=three))
    shown = [group["name"] for group in data["groups"] if group["shown"]]
    assert shown == [SAID[0], SAID[10], SAID[20]]
    colours = {curve["colour"] for run in data["runs"] for curve in run["curves"]}
    assert len(colours) == 3 * 21


def test_the_terminal_says_what_it_leaves_out(report: Report) -> None:
    text = printed(report, 120, details=True)
    lines = text.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("at ")] == [
        *["0"] * 3,
        *map(str, range(1, 20)),
        *["20"] * 3,
    ]
    assert (
        "19 snapshots between: kernels no_grid, grid and their bounds are on the page and in report.json"
        in text
    )
    assert "distance" in text
    assert len(lines) < 45
    two = replace(report, runs=(report.runs[0], long_run("y")), baseline="x")
    compared = tuple(samples.compare(two.runs[1], two.runs[0], f"at {i}") for i in range(21))
    text = printed(replace(two, comparisons=compared), details=True)
    assert "more snapshots are on the page and in report.json" in text
    assert "at 20" in next(line for line in text.splitlines() if line.startswith("run  "))


def test_what_a_figure_of_late_stages_leaves_out_is_said(report: Report) -> None:
    said = "Drawn: the middle and the end of training; the figure “How fast"
    assert captions(report)["ablation"].caption.endswith(
        f"{said} the network learns what” has every snapshot."
    )
    assert said in captions(samples.six_runs(16))["panels"].caption  # of three the first
    alone = replace(report.runs[0], snapshots=report.runs[0].snapshots[-1:])
    assert said not in captions(samples.one_run(alone))["ablation"].caption


def test_three_snapshots_are_drawn_by_stage_as_ever() -> None:
    report = samples.six_runs(16)
    assert not by_step(report)
    data = plot_data(report)
    assert [(g["key"], g["name"], g["dash"], g["shown"]) for g in data["groups"]] == [
        ("init", "start of training", "dot", False),
        ("mid", "middle", "dash", False),
        ("end", "end", "solid", True),
    ]
    assert {curve["colour"] for curve in data["runs"][0]["curves"]} == {data["runs"][0]["colour"]}


def test_one_snapshot_has_no_course() -> None:
    report = samples.one_run(long_run(steps=[5]))
    assert fig_training(report) is None
    assert plot_data(report)["training"] is None
    assert "training" not in dict(figures.draw_all(report))


def test_a_run_of_one_snapshot_beside_others_is_a_mark() -> None:
    one = samples.one_run(long_run())
    figure = fig_training(replace(one, runs=(*one.runs, long_run("y", [500]))))
    assert figure is not None
    assert [500.0] in [list(np.asarray(line.get_xdata())) for line in figure.axes[0].lines]


def test_unresolved_and_zero_are_marked_as_such() -> None:
    """Four snapshots: a number, below the floor, exactly zero, a number again; nothing joins across."""
    run = long_run(steps=[0, 10, 20, 30], grid=False)
    number = samples.spectrum(np.array([4.0, 2.0, 1.0]), 1e-9)
    unresolved = samples.spectrum(np.array([4.0, 2.0, 1e-12]), 1e-9)
    zero = replace(unresolved, eigenvalues=np.array([4.0, 2.0, 0.0]), rank=Rank(2, "two distinct rows"))
    spectra = (number, unresolved, zero, number)
    snaps = tuple(replace(s, spectra={"total": t}) for s, t in zip(run.snapshots, spectra, strict=True))
    report = samples.one_run(replace(run, snapshots=snaps))
    values = [point.value for point in course(report.runs[0], "lambda_min")]
    assert [(value.number, value.zero) for value in values] == [
        (1.0, False),
        (None, False),
        (None, True),
        (1.0, False),
    ]
    assert values[1].at_most == unresolved.smallest_at_most
    assert "two distinct rows" in values[2].said
    figure = fig_training(report)
    assert figure is not None
    drawn = [(line.get_marker(), np.asarray(line.get_xdata()).tolist()) for line in figure.axes[1].lines]
    assert sorted(drawn[1:], key=lambda each: each[1]) == [("o", [0]), ("v", [10]), ("x", [20]), ("o", [30])]
    labels = [words.get_text() for words in figure.legends[0].get_texts()]
    assert {"unresolved: at most this", "exactly zero"} <= set(labels)
    table = rows(write_snapshots_csv, report)
    assert [row["lambda_min"] for row in table] == ["1.0", "", "0.0", "1.0"]
    assert float(table[1]["lambda_min_at_most"]) == unresolved.smallest_at_most
    assert [row["zero"] for row in table] == ["0", "0", "1", "0"]


def test_only_zeros_and_nothing_computed_are_drawn_without_complaint() -> None:
    run = long_run(steps=[0, 10], grid=False)
    for spectrum in (
        samples.spectrum(np.zeros(4), 0.0),
        samples.spectrum(np.zeros(4), 1e-9),
        samples.spectrum(np.array([3.0, 1.0]), 1e-9, size=50, method="lanczos"),
    ):
        snaps = tuple(replace(snap, spectra={"total": spectrum}, distances={}) for snap in run.snapshots)
        figure = fig_training(samples.one_run(replace(run, snapshots=snaps)))
        assert figure is not None
        figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("steps", "log"),
    [(STEPS, False), ([0, 1, 2, 4, 8, 16, 32, 64, 128, 256], True), ([1, 10, 100, 1000], True), ([0], False),
     ([7, 7, 7], False), ([0, 0, 5], False)],
)  # fmt: skip
def test_the_axis_of_steps(steps: list[int], log: bool) -> None:
    axis = StepAxis.of(steps)
    places = [axis.position(step) for step in steps]
    assert (axis.first is not None) == log
    assert places == sorted(places)
    assert np.isfinite(places).all()
    if log and 0 in steps:
        assert axis.ticks(steps)[0] == (places[0], "0")
        assert places[0] < places[1]
    figure = fig_training(samples.one_run(long_run(steps=steps, grid=False)))
    assert (figure is None) == (len(steps) == 1)
    if figure is not None:
        line = figure.axes[0].lines[-1]
        assert np.asarray(line.get_xdata()).tolist() == places  # those that share a step, too


@pytest.mark.parametrize(
    ("steps", "first"),
    [([1, 2, 30], 1.0), ([1, 2, 29], None), ([0, 1, 6, 30], 1.0), ([1, 7, 30], None), ([0, 1, 30], None),
     ([2, 3, 4, 60], 2.0), ([2, 3, 13, 60], None), ([60, 12, 2, 12, 60], 2.0)],
)  # fmt: skip
def test_steps_are_on_a_log_axis_if_half_of_them_are_in_its_first_fifth(
    steps: list[int], first: float | None
) -> None:
    assert StepAxis.of(steps).first == first


def test_few_of_many() -> None:
    assert few(3, 5) == [0, 1, 2]
    assert few(21, 3) == [0, 10, 20]


# -- from a run file


def write(path: Path, jacobians: list[ntkspec.Jacobian]) -> Path:
    n = jacobians[0].samples
    with runs.RunWriter(path, inputs=np.random.default_rng(0).random((n, 2)), label="a") as run:
        for i, jac in enumerate(jacobians):
            with run.snapshot(f"s{i}", step=10 * i, label=f"at {i}") as snapshot:
                snapshot.write(0, np.ones((n, jac.outputs)), jac)
    return path


def test_all_snapshots_of_a_file(tmp_path: Path) -> None:
    jacobians = [cases.mixed(8, 1, seed) for seed in range(6)]
    path = write(tmp_path / "run.h5", jacobians)
    found = analyze_run(path, RunSettings(backend="cpu"))
    assert [snap.id for snap in found.snapshots] == [f"s{i}" for i in range(6)]
    for name in ("total", "no_grid", "grid"):
        parts = [{"total": j, "no_grid": j.without("grid"), "grid": j.only("grid")}[name] for j in jacobians]
        apart = [snap.distances[name].value for snap in found.snapshots]
        assert apart == pytest.approx([ntkspec.kernel_distance(parts[0], part) for part in parts], abs=1e-15)
        assert apart[0] == 0
    some = analyze_run(path, RunSettings(backend="cpu", samples=5, snapshot="at 5"))
    (last,) = some.snapshots
    assert last.distances["total"].reference == "s0"  # the run's first, though it is not analysed
    assert last.distances["total"].value != found.snapshots[-1].distances["total"].value
    assert dumps(samples.one_run(some)).count('"from": "s0"') == 3


def test_the_same_parameters_in_other_blocks_have_a_distance(tmp_path: Path) -> None:
    """A table may be sparse rows at the start, and weights and gradients of several levels later."""
    whole, later = cases.mixed(8, 1), cases.mixed(8, 1, 1)
    layers = ntkspec.DenseFactor(whole.without("grid").to_dense())
    merged = ntkspec.Block("layers", "network", 8, 1, None, layers)
    first = ntkspec.Jacobian((*whole.only("grid"), merged))
    _, same, other = analyze_run(write(tmp_path / "run.h5", [first, whole, later]), RunSettings()).snapshots
    assert same.distances["total"].value == pytest.approx(0, abs=1e-20)
    for name, words in {"total": (), "no_grid": ("grid",)}.items():
        apart = ntkspec.kernel_distance(*(jac.without(*words) for jac in (whole, later)))
        assert other.distances[name].value == pytest.approx(apart, abs=1e-15)


def test_the_caption_names_colours_that_hold_in_both_themes(report: Report) -> None:
    assert "from green at the start of training to violet at its end" in captions(report)["spectra"].caption
    first, last = (step_colour(place, 9) for place in (0, 8))
    for start, end in ((first, last), (on_dark(first), on_dark(last))):
        (red, green, blue), (low, dim, high) = (bytes.fromhex(colour[1:]) for colour in (start, end))
        assert green > max(red, blue)
        assert dim < min(low, high)


def test_why_there_is_no_distance(tmp_path: Path) -> None:
    whole = cases.mixed(8, 1)
    layer = whole["layer.1"]
    zero = replace(layer, right=ntkspec.DenseFactor(np.zeros((8, 1, layer.width))))
    jacobians = [whole.without("grid"), whole, whole.only("layer.1"), ntkspec.Jacobian((zero,))]
    found = analyze_run(write(tmp_path / "run.h5", jacobians), RunSettings(backend="cpu")).snapshots
    said = [{name: apart.reason for name, apart in snap.distances.items()} for snap in found]
    assert said == [
        {"total": ""},
        {
            "total": "the first snapshot has other parameters",
            "no_grid": "the first snapshot has no kernel no_grid",
            "grid": "the first snapshot has no kernel grid",
        },
        {"total": "the first snapshot has other parameters"},
        {"total": "the first snapshot has other parameters"},
    ]
    found = analyze_run(write(tmp_path / "zero.h5", jacobians[2:]), RunSettings(backend="cpu")).snapshots
    assert [snap.distances["total"].value for snap in found] == [0, None]
    assert found[1].distances["total"].reason == "a kernel that is zero has no direction"
    report = samples.one_run(replace(long_run(), snapshots=found))
    assert [row["kernel_distance"] for row in rows(write_snapshots_csv, report)] == ["0.0", ""]
    text = " ".join(" ".join(Reader(render_page(report, {})).text).split())
    assert "No kernel distance: a kernel that is zero has no direction (total at at 1)." in text
