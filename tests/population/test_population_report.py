"""The report of a population: what is said of many runs is what a loop over their reports says."""

import csv
import errno
import json
import math
import re
import statistics
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import samples
from report.test_page import Reader

from ntkspec.errors import OutputError, UsageError
from ntkspec.population.outcomes import indices
from ntkspec.population.report import Failed, check_folder, write_population
from ntkspec.population.report.cohorts import at_stage, cohorts_of
from ntkspec.population.report.enclosures import Enclosure, mean, quantile
from ntkspec.population.report.headline import headline
from ntkspec.population.report.labels import MOST_LABELS, shown_labels
from ntkspec.population.report.metrics_figure import draw as fig_metrics
from ntkspec.population.report.page import captions, render_page
from ntkspec.population.report.reading import enclosed, read_population
from ntkspec.population.report.spectra_figure import draw as fig_spectra
from ntkspec.population.report.to_csv import write_runs_csv
from ntkspec.population.report.to_json import dumps
from ntkspec.population.report.wording import Cell, metric, metrics_in_table, smallest
from ntkspec.report import write_json_file, write_report
from ntkspec.report.compare import assemble
from ntkspec.report.to_csv import write_snapshots_csv
from ntkspec.spectral import Spectrum
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.regions import Regions

HOSTILE = ("<script>alert(1)</script>", "=1+1", "", "x" * 5000, "../x", "one\ntwo")
NONE = "reports of a population: expected a report.json with a run"


def spectrum(resolved, *, unresolved=0, zero=0, floor=1e-3, **facts):
    """Eigenvalues that are numbers, then some below the floor, then some that are exactly zero."""
    values = [*resolved, *[floor / 2] * unresolved, *[0.0] * zero]
    rank = Rank(len(values) - zero, "so many nonzero columns of J") if zero else None
    facts = {"error": np.zeros(len(values)), "size": len(values), "rank": rank} | facts
    return Spectrum(
        eigenvalues=np.array(values),
        floor=floor,
        trace=float(sum(values)),
        method="gram",
        precision="float64",
        **facts,
    )


def run_of(label, total, *, path="runs/one.h5", **metrics):
    """A run with one snapshot, of this spectrum."""
    run = samples.plain_run(label, 6, 0.5, size=4)
    end = replace(run.snapshots[-1], spectra={"total": total}, metrics=metrics, picture=None)
    return replace(run, path=path, samples=total.size, snapshots=(end,), truth=None)


def reports_of(runs, folder):
    """A report.json for each run, in a folder of its own."""
    paths = []
    for number, run in enumerate(runs):
        paths.append(folder / f"run-{number:08x}" / "report.json")
        paths[-1].parent.mkdir(parents=True)
        write_json_file(assemble([run], None, "cpu"), paths[-1])
    return paths


def grown(run, factor, path):
    """The same run with larger eigenvalues and metrics."""
    snapshots = [
        replace(
            snapshot,
            spectra={
                name: replace(s, eigenvalues=s.eigenvalues * factor, error=s.error * factor)
                for name, s in snapshot.spectra.items()
            },
            bounds=(),
            metrics={name: value * factor for name, value in snapshot.metrics.items()},
        )
        for snapshot in run.snapshots
    ]
    return replace(run, snapshots=tuple(snapshots), path=path)


@pytest.fixture(scope="module")
def runs():
    """Nine runs of two labels, and of labels that mean no good one each; the last is of another size."""
    kinds = [samples.plain_run("Baseline", 24, 0.2, size=32), samples.grid_run("MPE (fine)", 7, 0.9, size=32)]
    several = [grown(kinds[k % 2], 1 + 0.1 * k, f"runs/{k}.h5") for k in range(9)]
    hostile = [replace(grown(kinds[0], 1.0, label), label=label) for label in HOSTILE]
    return [*several, *hostile, samples.plain_run("Baseline", 24, 0.2, size=16)]


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    """Their population, with three reports that are none; not to be changed."""
    place = tmp_path_factory.mktemp("population")
    paths = reports_of(runs, place / "results")
    broken = {"damaged": paths[0].read_text()[:200], "foreign": '{"format": "other"}', "empty": ""}
    for name, text in broken.items():
        paths.append(place / "results" / name / "report.json")
        paths[-1].parent.mkdir()
        paths[-1].write_text(text)
    write_population(paths, place / "out", [Failed("runs/lost.h5", "expected a file, got none")])
    return place / "out"


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def strict(text):
    """JSON without NaN and Infinity."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(name))


def naive_ends(of, i):
    """Between what eigenvalue i of a spectrum lies, from the definition."""
    if i > (of.rank.at_most if of.rank else of.size):
        return 0.0, 0.0
    value, error = float(of.eigenvalues[i - 1]), float(of.error[i - 1])
    return (value, value) if value > of.floor else (0.0, max(of.floor, value + error))


def naive_quantile(values, share):
    """Between the two of a sorted list that are nearest, on a log scale."""
    ranked, place = sorted(values), share * (len(values) - 1)
    low, high, part = ranked[math.floor(place)], ranked[math.ceil(place)], place - math.floor(place)
    return math.exp(math.log(low) * (1 - part) + math.log(high) * part) if low else 0.0


def test_ends_of_numbers_zeros_and_what_lies_between():
    of = spectrum([4.0, 2.0], unresolved=2, zero=1)
    assert [ends.tolist() for ends in enclosed(of)] == [[4, 2, 0, 0, 0], [4, 2, 1e-3, 1e-3, 0]]
    low, high = enclosed(replace(of, eigenvalues=of.eigenvalues[:2], error=np.full(2, 0.5), rank=None))
    assert low.tolist() == [4, 2, 0, 0, 0]
    assert high.tolist() == [4, 2, 2.5, 2.5, 2.5]  # not computed: at most the last that was, with its error


def test_what_the_network_holds_is_no_zero_of_the_stored_numbers():
    known = Regions(at_most=2, reason="one region", independent=3, rest=1e-9)
    of = spectrum([4.0, 2.0], unresolved=2, regions=known)
    assert enclosed(of)[1].tolist() == [4, 2, 1e-3, 1e-9]


def test_kept_spectra_are_small_and_hold_no_others():
    low, high = enclosed(samples.decaying(4096, 1e4, 9))
    assert low.base is high.base is None
    assert low.nbytes + high.nbytes < 1000


ANY = st.builds(
    lambda numbers, unresolved, zero, floor: spectrum(
        sorted((number + floor for number in numbers), reverse=True),
        unresolved=unresolved,
        zero=4 - len(numbers) - unresolved,
        floor=floor,
    ),
    numbers=st.lists(st.floats(1e-6, 1e6), max_size=2),
    unresolved=st.integers(0, 2),
    zero=st.none(),
    floor=st.floats(1e-9, 1e3),
)


@given(
    spectra=st.lists(ANY, min_size=1, max_size=9), shares=st.lists(st.floats(0, 1), min_size=9, max_size=9)
)
def test_statistics_enclose_what_a_loop_says_of_any_mix(spectra, shares):
    low, high = (np.array(ends) for ends in zip(*map(enclosed, spectra), strict=True))
    for i in indices(4):
        ends = [naive_ends(of, i) for of in spectra]
        truth = [a + (b - a) * share for (a, b), share in zip(ends, shares, strict=False)]
        for measured, loop in (
            (mean(low, high), statistics.fmean),
            *((quantile(low, high, q), partial(naive_quantile, share=q)) for q in (0.25, 0.5, 0.75)),
        ):
            assert measured.low[i - 1] == pytest.approx(loop([a for a, _ in ends]), rel=1e-12)
            assert measured.high[i - 1] == pytest.approx(loop([b for _, b in ends]), rel=1e-12)
            assert measured.low[i - 1] * (1 - 1e-12) <= loop(truth) <= measured.high[i - 1] * (1 + 1e-12)


def test_a_statistic_is_a_number_where_its_ends_agree_and_says_so_of_zero():
    statistic = Enclosure(np.array([1.0, 0.995, 0.98, 0.0, 0.0, 0.0]), np.array([1, 1, 1, 1e-9, 0, math.inf]))
    assert np.isnan(statistic.numbers).tolist() == [False, False, True, True, False, True]
    assert statistic.numbers[[0, 1, 4]].tolist() == [1.0, pytest.approx(0.9975), 0.0]
    assert statistic.at_most[2:4].tolist() == [1.0, 1e-9]
    assert np.isnan(statistic.at_most[[0, 1, 4, 5]]).all()


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_large_and_infinite_ends_are_no_nan(share):
    high = np.array([[1.7e308, math.inf, 5e-324]] * 3 + [[1.7e308, 1.0, 0.0]])
    low = np.where(np.isfinite(high), high, 0.0)
    for statistic in (mean(low, high), quantile(low, high, share)):
        assert not np.isnan([statistic.low, statistic.high]).any()
        assert statistic.high[0] == pytest.approx(1.7e308)


def test_all_files_are_there(folder):
    names = {"index.html", "population.json", "runs.csv", "spectra.csv"}
    names |= {
        f"figures/{name}.{ending}" for name in ("spectra", "metrics") for ending in ("png", "pdf", "svg")
    }
    assert set(tree(folder)) == names
    assert len((folder / "index.html").read_bytes()) < 800_000


def test_runs_csv_is_what_the_reports_of_the_runs_say(runs, folder, tmp_path, undrawn):
    table = rows(folder / "runs.csv")
    assert len(table) == sum(len(snapshot.spectra) for run in runs for snapshot in run.snapshots)
    write_report(assemble([runs[1]], None, "cpu"), tmp_path / "one")
    mine = [row for row in table if row["folder"] == "run-00000001"]
    for row, single in zip(mine, rows(tmp_path / "one" / "snapshots.csv"), strict=True):
        assert {name: row[name] for name in set(row) & set(single)} == {
            name: value for name, value in single.items() if name != "run"
        }
        snapshot = runs[1].snapshot(row["snapshot"])
        assert (row["path"], row["label"], row["snapshot_id"]) == ("runs/1.h5", "MPE (fine)", snapshot.id)
        assert (row["method"], row["precision"]) == ("gram", "float64")
        assert float(row["metric.psnr_db"]) == snapshot.metrics["psnr_db"]


def test_snapshots_without_a_label_of_their_own_have_their_ids(tmp_path):
    run = samples.plain_run("A", 9, 0.5, size=4)
    for labels in (("", "", ""), ("x", "x", "end")):
        snapshots = zip(run.snapshots, labels, strict=True)
        unnamed = replace(run, snapshots=tuple(replace(snap, label=label) for snap, label in snapshots))
        report = assemble([unnamed], None, "cpu")
        write_json_file(report, tmp_path / "report.json")
        with (tmp_path / "runs.csv").open("w", newline="") as file:
            write_runs_csv(read_population([tmp_path / "report.json"]), file)
        with (tmp_path / "snapshots.csv").open("w", newline="") as file:
            write_snapshots_csv(report, file)
        names = [row["snapshot"] for row in rows(tmp_path / "runs.csv")]
        assert names == [row["snapshot"] for row in rows(tmp_path / "snapshots.csv")]
        assert len(set(names)) == 3


def test_spectra_csv_is_what_a_loop_over_the_runs_says(runs, folder):
    table = rows(folder / "spectra.csv")
    of_label = [run.snapshots[-1].spectra["no_grid"] for run in runs if run.label == "MPE (fine)"]
    mine = [row for row in table if (row["label"], row["snapshot"]) == ("MPE (fine)", "end")]
    mine = [row for row in mine if row["spectrum"] == "no_grid"]
    assert [int(row["index"]) for row in mine] == indices(32)
    for row in mine:
        ends = [naive_ends(of, int(row["index"])) for of in of_label]
        known = sum(low == high for low, high in ends)
        assert [int(row[name]) for name in ("runs", "resolved", "zero", "unresolved")] == [
            4,
            known,
            0,
            4 - known,
        ]
        for side, name in enumerate(("at_least", "at_most")):
            values = [pair[side] for pair in ends]
            assert float(row[f"mean_{name}"]) == pytest.approx(statistics.fmean(values))
            assert float(row[f"median_{name}"]) == pytest.approx(naive_quantile(values, 0.5))
            assert float(row[f"upper_quartile_{name}"]) == pytest.approx(naive_quantile(values, 0.75))
        assert (row["median"] == "") == (known < 4)
    assert {row["median"] == "" for row in mine} == {True, False}


def test_sizes_that_differ_are_apart(runs, folder):
    baselines = [row for row in rows(folder / "spectra.csv") if row["label"] == "Baseline"]
    runs_of = {(row["size"], row["runs"]) for row in baselines}
    assert runs_of == {("32", "5"), ("16", "1")}
    page = " ".join(Reader((folder / "index.html").read_text()).text)
    assert "That is said of kernels of N = 32, which most runs have" in page


def test_outputs_taken_in_another_way_are_apart(tmp_path):
    one = replace(run_of("A", GOOD), outputs=3)
    cohorts = cohorts_of(read_population(reports_of([one, one, replace(one, mode=0)], tmp_path)))
    assert [(cohort.kernels.mode, cohort.runs) for cohort in cohorts] == [("trace", 2), ("0", 1)]


def test_without_a_common_end_the_last_snapshot_stands_for_it(tmp_path):
    population = read_population(reports_of([samples.plain_run("A", 9, 0.5, size=4)], tmp_path))
    (run,) = population.runs
    nowhere = replace(run, snapshots=tuple(replace(snapshot, stage=None) for snapshot in run.snapshots))
    cohorts = cohorts_of(replace(population, runs=(nowhere,)))
    assert [cohort.snapshot for cohort in at_stage(cohorts, "A", "end")] == ["end"]
    assert at_stage(cohorts, "A", "mid") == []


def test_json_has_all_and_no_nan(runs, folder):
    text = (folder / "population.json").read_text()
    content = strict(text)
    assert text.startswith('{"format": "ntkspec-population", "version": 1')
    assert len(content["runs"]) == len(runs)
    assert {one["label"]: one["runs"] for one in content["labels"]} == Counter(run.label for run in runs)
    keys = [(c["label"], c["snapshot"], c["size"]) for c in content["cohorts"]]
    assert len(set(keys)) == len(keys) == 3 * (2 + len(HOSTILE) + 1)
    (mpe,) = [c for c in content["cohorts"] if (c["label"], c["snapshot"]) == ("MPE (fine)", "end")]
    smallest = [run.snapshots[-1].spectra["total"].lambda_min for run in runs if run.label == "MPE (fine)"]
    assert mpe["spectra"]["total"]["lambda_min"]["median"] == pytest.approx(naive_quantile(smallest, 0.5))
    assert mpe["spectra"]["total"]["lambda_min"]["resolved"] == 4
    assert mpe["spectra"]["no_grid"]["lambda_min"]["unresolved"] == 4
    psnr = [run.snapshots[-1].metrics["psnr_db"] for run in runs if run.label == "MPE (fine)"]
    assert mpe["metrics"]["psnr_db"]["mean"]["value"] == pytest.approx(statistics.fmean(psnr))


def test_damaged_and_foreign_reports_are_listed(folder):
    failures = {
        one["path"]: one["reason"] for one in strict((folder / "population.json").read_text())["failures"]
    }
    places = {Path(path).parent.name: reason for path, reason in failures.items()}
    assert set(places) == {"damaged", "foreign", "empty", "runs"}
    assert places["foreign"].startswith("expected a report, with format 'ntkspec-report', got something else")
    page = " ".join(Reader((folder / "index.html").read_text()).text)
    assert "4 files could not be reported on" in page
    assert all(path in page for path in failures)


def test_labels_that_mean_no_good_do_none(folder):
    page = (folder / "index.html").read_text()
    reader = Reader(page)
    assert not reader.scripts
    for tag, attributes in reader.elements:
        assert tag not in ("script", "link", "iframe", "object", "base")
        assert (attributes.get("src") or "data:").startswith("data:")
        assert attributes.get("href", "runs.csv") in ("runs.csv", "spectra.csv", "population.json")
    shown = " ".join(reader.text)
    assert all(name in shown for name in ("<script>alert(1)</script>", "(no label)", "../x", "one two"))
    assert "x" * 100 not in shown
    labels = {row["label"] for row in rows(folder / "runs.csv")}
    assert labels == {"Baseline", "MPE (fine)", *HOSTILE} - {"=1+1"} | {"'=1+1"}


@pytest.mark.usefixtures("undrawn")
def test_labels_and_files_are_shown_as_they_are(tmp_path):
    paths = reports_of([run_of(label, GOOD) for label in ("lambda_0.1", "b >= 1")], tmp_path)
    failed, broken = Failed("lambda_2.h5", "got 'lambda_x >= 1'"), "b >= 1, end: lambda_min >= 3.0e+00 fails"
    write_population(paths, tmp_path / "out", [failed], [broken])
    page = " ".join(Reader((tmp_path / "out" / "index.html").read_text()).text)
    assert "λ_0" not in page
    assert "b ≥" not in page
    assert "b >= 1, end: λ_min ≥ 3.0e+00 fails" in " ".join(page.split())
    assert "got 'lambda_x >= 1'" in page


@pytest.mark.usefixtures("undrawn")
def test_nothing_to_report_on_is_one_line(tmp_path):
    damaged = tmp_path / "report.json"
    damaged.write_text("{")
    for paths in ([], [damaged], [tmp_path / "absent" / "report.json"]):
        with pytest.raises(UsageError, match=NONE) as refused:
            write_population(paths, tmp_path / "out")
        assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("undrawn")
def test_own_folders_are_replaced_and_no_others(tmp_path, monkeypatch):
    (path,) = reports_of([run_of("one", spectrum([2.0, 1.0]))], tmp_path)
    out = tmp_path / "out"
    assert write_population([path], out)[0] == out / "index.html"
    before = tree(out)
    monkeypatch.setattr("ntkspec.population.report.page.render_page", full_disk)
    with pytest.raises(OutputError, match="No space left"):
        write_population([path], out)
    assert tree(out) == before
    monkeypatch.undo()
    (out / "notes.txt").write_text("precious")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        write_population([path], out)
    with pytest.raises(OutputError, match=r"report\.json"):  # the report of a run is none of a population
        check_folder(path.parent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run-00000000"]


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("undrawn")
def test_the_order_of_the_reports_changes_nothing(runs, tmp_path):
    paths = reports_of(runs[:4], tmp_path)
    write_population(paths, tmp_path / "one")
    write_population([*reversed(paths), paths[0]], tmp_path / "two")
    for name in ("runs.csv", "spectra.csv"):
        assert (tmp_path / "one" / name).read_text() == (tmp_path / "two" / name).read_text()


GOOD, LOST, ZERO = spectrum([8.0, 2.0]), spectrum([8.0], unresolved=1), spectrum([8.0], zero=1)
VAGUE = spectrum([8.0, 3.0], error=np.array([0.5, 1.0]))
FEWER, HIGH = spectrum([8.0], size=2), spectrum([8.0], unresolved=1, floor=5.0)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ({"A": [GOOD]}, "the smallest eigenvalue of the one run, A, is 2.0e+00"),
        (
            {"A": [LOST]},
            "the smallest eigenvalue of the one run, A, lies below what rounding lets anyone see",
        ),
        ({"A": [ZERO]}, "the kernel of the one run, A, is exactly singular: the smallest eigenvalue is zero"),
        ({"A": [GOOD] * 2}, "the smallest eigenvalue of A, in the median of 2 runs, is 2.0e+00"),
        (
            {"A": [GOOD, ZERO, ZERO]},
            "the smallest eigenvalue of A, in the median of 3 runs, is exactly zero: a number in 1, "
            "exactly 0 in 2",
        ),
        (
            {"A": [GOOD, LOST]},
            "the smallest eigenvalue of A, in the median of 2 runs, is at most 4.5e-02: a number in 1, "
            "unresolved in 1",
        ),
        (
            {"A": [ZERO], "B": [ZERO] * 2},
            "the kernel of each of the 3 runs is exactly singular: the smallest eigenvalue is zero",
        ),
        (
            {"A": [LOST], "B": [LOST]},
            "the smallest eigenvalue of each of the 2 runs lies below what rounding lets anyone see",
        ),
        ({"A": [FEWER] * 2}, "the smallest eigenvalue of each of the 2 runs of A was not computed"),
        (
            {"A": [LOST], "B": [ZERO] * 2},
            "no label's smallest eigenvalue is, in the median, known to be above zero: exactly 0 in 2, "
            "unresolved in 1 of 3 runs",
        ),
        (
            {"A": [ZERO], "B": [GOOD] * 3},
            "the smallest eigenvalue is largest for B: 2.0e+00 in the median of 3 runs; for A it is "
            "exactly zero in 1 run",
        ),
        (
            {"A": [LOST] * 2, "B": [GOOD]},
            "the smallest eigenvalue is largest for B: 2.0e+00 in 1 run; for A it is "
            "unresolved (at most 1.0e-03) in the median of 2 runs",
        ),
        (
            {"A": [HIGH], "B": [GOOD]},
            "where it is known, the smallest eigenvalue is largest for B: 2.0e+00 in 1 run; for A it is "
            "unresolved (at most 5.0e+00) in 1 run",
        ),
        (
            {"A": [GOOD], "B": [spectrum([9.0, 2.0001])]},
            "the smallest eigenvalue is largest for A and B, as far as can be told: 2.0e+00 in 2 runs",
        ),
        (
            {"A": [ZERO], "B": [GOOD] * 2, "C": [VAGUE]},
            "the smallest eigenvalue is largest for B and C, as far as can be told: 2.0e+00 to 3.0e+00 "
            "in the median of 3 runs; for A it is exactly zero in 1 run",
        ),
    ],
)
def test_the_sentence_says_what_is_known(labels, sentence, tmp_path):
    runs = [run_of(label, of) for label, group in labels.items() for of in group]
    population = read_population(reports_of(runs, tmp_path))
    (said,) = headline(cohorts_of(population), shown_labels(population), "at the end")
    assert said == f"At the end, {sentence}."


THREE, FOUR = spectrum([8.0, 3.0, 2.0]), spectrum([8.0, 4.0, 3.0, 2.0])
FLAT = spectrum([8.0, 3.0], unresolved=1)


@pytest.mark.parametrize(
    ("group", "sentence", "which"),
    [
        ([GOOD, THREE, FOUR], "of A, one of 3 runs, is 2.0e+00", "N = 2, which 1 of 3 runs has"),
        ([GOOD, GOOD, THREE, FOUR], "of A, in the median of 2 runs, is", "N = 2, which 2 of 4 runs have"),
        ([GOOD, THREE, THREE], "of A, in the median of 2 runs, is", "N = 3, which most runs have"),
        ([LOST, THREE, FOUR], "of A, one of 3 runs, lies below", "N = 2, which 1 of 3 runs has"),
        ([FLAT, FLAT, GOOD], "of each of 2 runs of A lies below", "N = 3, which most runs have"),
    ],
)
def test_it_says_how_many_runs_have_such_kernels(group, sentence, which, tmp_path):
    population = read_population(reports_of([run_of("A", of) for of in group], tmp_path))
    lead, of_which = headline(cohorts_of(population), shown_labels(population), "at the end")
    assert sentence in lead
    assert f"kernels of {which};" in of_which


def test_a_label_whose_kernels_are_of_another_size_is_not_compared(tmp_path):
    runs = [run_of("A", GOOD), run_of("A", GOOD), run_of("B", FOUR)]
    population = read_population(reports_of(runs, tmp_path))
    lead, _ = headline(cohorts_of(population), shown_labels(population), "at the end")
    assert lead == "At the end, the smallest eigenvalue of A, in the median of 2 runs, is 2.0e+00."


def test_of_snapshots_with_other_names_those_of_more_runs_count(tmp_path):
    runs = [run_of("A", of) for of in (GOOD, GOOD, spectrum([8.0, 1.0]))]
    last = replace(runs[2].snapshots[0], label="last")
    population = read_population(reports_of([*runs[:2], replace(runs[2], snapshots=(last,))], tmp_path))
    (said,) = headline(cohorts_of(population), shown_labels(population), "at the end")
    assert said == "At the end, the smallest eigenvalue of A, in the median of 2 runs, is 2.0e+00."


@pytest.mark.parametrize(
    ("labels", "outputs", "several"), [("AA", (1, 1), False), ("AB", (1, 3), False), ("AA", (1, 3), True)]
)
def test_captions_say_which_kernels_of_a_label_are_drawn(labels, outputs, several, tmp_path):
    runs = [replace(run_of(name, GOOD), outputs=c) for name, c in zip(labels, outputs, strict=True)]
    population = read_population(reports_of(runs, tmp_path))
    said = captions(cohorts_of(population), shown_labels(population))
    assert all(("kernels of several sizes or outputs" in each.caption) is several for each in said.values())


def cohort_of(runs, tmp_path):
    (cohort,) = cohorts_of(read_population(reports_of(runs, tmp_path)))
    return cohort


def test_cells_of_the_table(tmp_path):
    numbers = [run_of("A", spectrum([8.0, 1.0 + k]), psnr_db=20.0 + k) for k in range(9)]
    cohort = cohort_of([*numbers, run_of("A", GOOD, psnr_db=math.nan)], tmp_path / "numbers")
    cell = smallest(cohort.spectra["total"])
    assert cell.value == "4.5e+00"
    assert cell.beside.startswith("[2.0e+00, ")
    cell = metric("psnr_db", cohort)
    assert cell.value == "24.0 dB in 9"
    assert cohort.metrics["psnr_db"].quantiles == (20, 22, 24, 26, 28)
    assert cell.beside.startswith("[2")
    few = smallest(cohort_of(numbers[:3], tmp_path / "few").spectra["total"])
    assert (few.value, few.beside) == ("2.0e+00", "(1.0e+00 to 3.0e+00)")
    one = smallest(cohort_of(numbers[:1], tmp_path / "one").spectra["total"])
    assert (one.value, one.beside) == ("1.0e+00", "")
    unknown = cohort_of([run_of("A", of) for of in (LOST, LOST, HIGH)], tmp_path / "unknown")
    assert smallest(unknown.spectra["total"]).value == "unresolved (<= 5.0e+00)"  # of all, not of the median


def test_runs_are_counted_by_what_is_known_of_an_eigenvalue(tmp_path):
    total = cohort_of([run_of("A", of) for of in (GOOD, LOST, ZERO, ZERO)], tmp_path).spectra["total"]
    counts = (total.resolved, total.zero, total.unresolved)
    assert [each.tolist() for each in counts] == [[4, 1], [0, 2], [0, 1]]


@pytest.mark.parametrize(
    ("snapshots", "said"),
    [
        (lambda end: (), "a run with a snapshot, got none"),
        (
            lambda end: (replace(end, spectra={"total": GOOD, "grid": THREE}),),
            "one size at each snapshot, got several",
        ),
    ],
)
def test_reports_that_cannot_be_summed_up_are_refused(snapshots, said, tmp_path):
    run = run_of("A", GOOD)
    paths = reports_of([replace(run, snapshots=snapshots(run.snapshots[0]))], tmp_path)
    with pytest.raises(UsageError, match=said):
        read_population(paths)


@pytest.mark.parametrize(("of", "stated"), [(VAGUE, (2, 4)), (LOST, (0, 1e-3)), (ZERO, (0, 0))])
def test_errors_are_stated_of_numbers_alone(of, stated, tmp_path):
    assert cohort_of([run_of("A", of)], tmp_path).spectra["total"].stated == pytest.approx(stated)


def test_perfect_runs_are_counted_beside_the_mean(tmp_path):
    perfect = [run_of("A", GOOD, psnr_db_infinite=1.0)] * 2
    others = [run_of("A", GOOD, psnr_db=value) for value in (30.0, 31.0)]
    cohort = cohort_of([*perfect, *others], tmp_path / "a")
    assert metric("psnr_db", cohort) == Cell("30.5 dB in 2, inf dB in 2", "(30.0 to 31.0)")
    assert metrics_in_table([cohort]) == ["psnr_db"]
    (line,) = strict(dumps(read_population([*(tmp_path / "a").glob("*/report.json")]), [cohort]))["cohorts"]
    assert (line["infinite"], [*line["metrics"]]) == ({"psnr_db": 2}, ["psnr_db"])
    assert "A run in which a metric is infinite is left out" in captions([cohort], [])["metrics"].caption
    all_perfect = cohort_of(perfect, tmp_path / "b")
    assert metric("psnr_db", all_perfect) == Cell("inf dB")
    assert metrics_in_table([all_perfect]) == ["psnr_db"]


def test_runs_that_held_out_different_pixels_have_no_mean_of_these(tmp_path, undrawn):
    """Halves and quarters of a picture were averaged into one number; the PSNR of all pixels still is."""

    def run(label, share, value, **metrics):
        made = run_of(label, GOOD, psnr_db=value, psnr_db_held_out=value - 5, **metrics)
        return replace(made, config={"task": {"kind": "image", "held_out": share, "side": 64}})

    mixed = [run("A", 0.5, 30.0, psnr_db_learnt=40.0), run("A", 0.25, 34.0)]
    unknown = replace(run("B", 0.5, 20.0), config={})
    alike = [run("B", 0.5, 30.0), run("B", 0.5, 34.0), unknown]
    paths = reports_of([*mixed, *alike], tmp_path)
    a, b = cohorts_of(read_population(paths))
    assert [metric(name, a).value for name in ("psnr_db", "psnr_db_held_out")] == ["32.0 dB", "-"]
    assert metric("psnr_db_held_out", a).beside == "different pixels"
    assert metric("psnr_db_held_out", b).value == "23.0 dB"
    first, second = json.loads(dumps(read_population(paths), [a, b]))["cohorts"]
    assert (first["not_averaged"], [*first["metrics"]]) == (
        ["psnr_db_learnt", "psnr_db_held_out"],
        ["psnr_db"],
    )
    assert (second["not_averaged"], second["metrics"]["psnr_db_held_out"]["mean"]["value"]) == ([], 23.0)
    assert metrics_in_table([a]) == ["psnr_db", "psnr_db_learnt", "psnr_db_held_out"]
    assert "is left out of the panels of these PSNRs" in captions([a, b], [])["metrics"].caption

    def said(reports, name):
        write_population(reports, tmp_path / name)
        return (tmp_path / name / "index.html").read_text()

    words = "Runs held out different pixels: PSNRs of these do not compare"
    assert f"{words}; where those of one label did (different pixels), there is no mean." in said(
        paths, "all"
    )
    assert f"{words}." in said([paths[1], *paths[2:]], "labels")
    assert words not in said(paths[2:], "alike")


def test_a_label_of_pictures_and_shapes_is_said_to_be(tmp_path, undrawn):
    """A preset has one label, whatever it learnt."""
    words = "Some labels stand for runs that learnt pictures (PSNR) and for others that learnt shapes (IoU)."
    for of_mesh, said in (("A", True), ("B", False)):
        runs = [run_of("A", GOOD, psnr_db=30.0), run_of(of_mesh, GOOD, iou=0.9, iou_uniform=0.8)]
        write_population(reports_of(runs, tmp_path / of_mesh), tmp_path / of_mesh / "all")
        assert (words in (tmp_path / of_mesh / "all/index.html").read_text()) == said


def test_a_singular_network_stays_unresolved(tmp_path):
    known = Regions(at_most=1, reason="one region", independent=1, rest=1e-9)
    total = cohort_of([run_of("A", replace(LOST, regions=known))] * 2, tmp_path).spectra["total"]
    assert total.states == {"resolved": 0, "zero": 0, "unresolved": 2, "not computed": 0}
    cell = smallest(total)
    assert (cell.value, cell.beside) == ("unresolved (<= 1.0e-09)", "network singular in all 2")


def test_the_figure_draws_medians_as_far_as_they_are_numbers(tmp_path):
    middle = spectrum([8.0, 4.0], unresolved=2, floor=1e-2)
    group = [spectrum([4.0, 2.0, 1.0], unresolved=1), middle, spectrum([2.0, 1.0], unresolved=1, zero=1)]
    population = read_population(reports_of([run_of("A", of) for of in group], tmp_path))
    (axes,) = fig_spectra(cohorts_of(population), shown_labels(population)).axes
    median, cross, mean, at_most = axes.lines
    assert np.allclose(mean.get_ydata()[:2], [np.mean([4, 8, 2]), np.mean([2, 4, 1])])
    assert axes.get_ylim()[0] >= 2.0 / 1e4  # what is at most 1e-3 is no scale for the rest
    assert np.allclose(median.get_ydata(), [4, 2, np.nan, np.nan], equal_nan=True)
    assert np.allclose(at_most.get_ydata(), [np.nan, np.nan, 1e-2, 1e-3], equal_nan=True)
    assert (cross.get_marker(), cross.get_xdata(), cross.get_ydata()) == ("x", [2], [2.0])
    low, high = axes.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (
        pytest.approx(2**0.5),
        pytest.approx(2**2.5),
    )  # quartiles of 1, 2, 4 and of 2, 4, 8


def test_curves_end_before_what_is_exactly_zero(tmp_path):
    population = read_population(reports_of([run_of("A", spectrum([0.4, 0.2], zero=1))] * 2, tmp_path))
    (axes,) = fig_spectra(cohorts_of(population), shown_labels(population)).axes
    median, cross, mean = axes.lines
    assert (cross.get_marker(), cross.get_xdata(), cross.get_ydata()) == ("x", [2], [0.2])
    for line in (median, mean):
        assert np.allclose(line.get_ydata(), [0.4, 0.2, np.nan], equal_nan=True)


def test_the_panels_of_the_figure_show_all_medians(tmp_path):
    """Their scales are shared: the first has the smallest numbers here, the last the largest."""
    run, values = samples.plain_run("A", 6, 0.5, size=2), ([1e-6, 1e-9], [1.0, 0.1], [1e6, 1e3])
    snapshots = [
        replace(snapshot, spectra={"total": spectrum(of, floor=1e-12)})
        for snapshot, of in zip(run.snapshots, values, strict=True)
    ]
    population = read_population(reports_of([replace(run, snapshots=tuple(snapshots))], tmp_path))
    panels = fig_spectra(cohorts_of(population), shown_labels(population)).axes
    assert len(panels) == 3
    for axes in panels:
        low, high = axes.get_ylim()
        assert low < 1e-9 < 1e6 < high


def test_names_have_the_colours_of_their_curves_in_both_themes(folder):
    page, figure = ((folder / name).read_text() for name in ("index.html", "figures/spectra.svg"))
    squares = set(re.findall(r'<svg class="swatch".*?light-dark\((#\w+),(#\w+)\)', page))
    assert len(squares) > 1
    for light, dark in squares:
        assert light == dark or f'[style*="stroke: {light}"]{{stroke:{dark}!important}}' in figure


def test_metrics_are_called_by_their_whole_names(tmp_path):
    """With the unit where numbers have none."""
    metrics = {"psnr_db": 30.0, "psnr_db_learnt": 33.0, "psnr_db_held_out": 25.0}
    population = read_population(reports_of([run_of("A", GOOD, **metrics)], tmp_path))
    cohorts, labels = cohorts_of(population), shown_labels(population)
    titles = ["PSNR", "PSNR, learnt pixels", "PSNR, held-out pixels"]
    drawn = [axes.get_title() for axes in fig_metrics(cohorts, labels).axes]
    assert drawn == [f"{title} (dB)" for title in titles]
    page = render_page(population, cohorts, labels, {})
    assert "".join(f'<th class="n">{title}</th>' for title in titles) in page


def test_of_many_labels_those_with_most_runs_are_drawn(tmp_path):
    names = [f"label {k}" for k in range(MOST_LABELS + 3)]
    runs = [run_of(name, GOOD) for name in [*names, *names[3:]]]
    population = read_population(reports_of(runs, tmp_path))
    labels = shown_labels(population)
    assert {label.name for label in labels if label.colour} == set(names[3:])
    assert len(labels) == len(names)
    (axes,) = fig_spectra(cohorts_of(population), labels).axes
    assert len(axes.lines) == 2 * MOST_LABELS  # median and mean
    looks = {(line.get_color(), line.get_marker()) for line in axes.lines[::2]}
    assert len(looks) == len({colour for colour, _ in looks}) * 2 == MOST_LABELS  # two of each colour


def test_numbers_of_any_size_are_written(tmp_path):
    huge = spectrum([1.7e308, 1e300], floor=math.inf, error=np.full(2, math.inf))
    runs = [
        run_of("A", of, wild=1.7e308, other=-1.7e308) for of in (huge, spectrum([1e300, 5e-324], floor=0.0))
    ]
    write_population(reports_of(runs, tmp_path), tmp_path / "out")
    strict((tmp_path / "out" / "population.json").read_text())
