"""What tables and scripts say, against outcomes that were made up and kernels that were formed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ntkspec
from analysis.paper.costs import Cost, speed_table
from analysis.paper.costs import table as cost_table
from analysis.paper.dependence import settings, table
from analysis.paper.held_out import HELD_OUT, LEARNT, NETWORKS
from analysis.paper.held_out import table as held_out
from analysis.paper.page import PAGE, without_findings
from analysis.paper.sweeps import COMPARED, fourier, kernels, multigrid
from analysis.paper.sweeps import settings as trainings
from analysis.paper.tables import enclosure, smallest
from analysis.paper.variants import Variants
from analysis.paper.weights import RATES, load_weights, weighted
from ntkspec.errors import UsageError
from ntkspec.population.outcomes import Curve, Outcome, Stage

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


def weights(*items):
    rows = [{"rate": rate, "lambda_min": 1e-3 * rate, "floor": 1e-20} for rate in RATES]
    return [{"item": item, "rows": rows} for item in items]


WEIGHTS = weights("p0", "p1")


def curve(smallest):
    return Curve((1.0, smallest), 2, 2, 1e-20, 1.0, smallest, 2, 1.0, 1.0, "gram")


def stage(smallest, psnr, **changed):
    made = Stage(
        1, {"psnr_db": psnr}, {"total": curve(smallest)}, (smallest / 2, 2 * smallest), {}, None, 3, ()
    )
    return replace(made, **changed)


def outcome(item, name, smallest, psnr):
    stages = {"init": stage(smallest, psnr, step=0), "end": stage(smallest, psnr)}
    return Outcome(item, name, name, {}, 1024, 10, stages, {})


@pytest.fixture
def sweeps():
    """Fine grids at 1e-3 and 40 dB, Fourier features at 1e-6 and 30, the baseline at 1e-12 and 20."""
    names = {*trainings(), *(f"{kind}-time" for kind in COMPARED)}
    names |= {name for kind in COMPARED for name in kernels(kind, 1024)}
    values = {"mpe": (1e-3, 40.0), "ffe": (1e-6, 30.0), "baseline": (1e-12, 20.0)}
    made = [
        outcome(f"p{k}", name, *values[name.partition("-")[0]]) for k in range(2) for name in sorted(names)
    ]
    worse = outcome("p1", fourier(4, 64), 1e-3, 20.0)  # one picture on which they are the grid's equal
    return [worse if (each.item, each.name) == ("p1", fourier(4, 64)) else each for each in made]


def test_the_dependence_is_that_of_the_outcomes(sweeps):
    rows = dict(
        re.match(r"\| ([^|]*) \| (.*) \|$", row).groups() for row in table(sweeps, WEIGHTS).splitlines()[2:]
    )
    assert rows["bandwidth: sigma 1, 64 frequencies"] == (
        " |  | 3.00 (3.00 to 3.00) | 10.00 (10.00 to 10.00) | (b)"
    )
    assert rows["bandwidth: sigma 4, 64 frequencies"].endswith("| 15.00 (10.00 to 20.00) | none")
    assert rows["finest level: 48 cells"].split(" | ") == [
        *("9.00 (9.00 to 9.00)", "20.00 (20.00 to 20.00)"),
        *("1.50 (0.00 to 3.00)", "15.00 (10.00 to 20.00)", "(a) (d)"),
    ]
    assert rows["samples: 128"].endswith("| 3.00 (3.00 to 3.00) | 10.00 (10.00 to 10.00) | (a) (b) (d)")


def test_a_claim_holds_in_a_setting_if_every_picture_reaches_it(sweeps):
    """Of ten pictures one does not: it is not in the interval of the median, and decides all the same."""
    nine = [replace(each, item=f"q{k}") for k in range(9) for each in sweeps if each.item == "p0"]
    ten = nine + [each for each in sweeps if each.item == "p1"]
    made = table(ten, weights("p1", *(f"q{k}" for k in range(9)))).splitlines()[2:]
    rows = dict(re.match(r"\| ([^|]*) \| (.*) \|$", row).groups() for row in made)
    assert rows["bandwidth: sigma 4, 64 frequencies"].startswith(" |  | 3.00 [")
    assert rows["bandwidth: sigma 4, 64 frequencies"].endswith(" | none")
    assert rows["bandwidth: sigma 2, 64 frequencies"].endswith(" | (b)")


def test_the_grids_rate_is_a_setting(sweeps):
    rows = table(sweeps, WEIGHTS).splitlines()
    assert rows[-1] == (
        "| rate of the grid over the network's: 100 | 11.00 (11.00 to 11.00) |  "
        "| 3.50 (2.00 to 5.00) |  | (a) (b) |"
    )
    assert len(rows) - 2 == len(list(settings(sweeps))) + len(RATES)
    with pytest.raises(UsageError, match="weights: expected those of the 2 pictures"):
        table(sweeps, weights("p0", "p2"))


def test_trainings_of_the_sweeps_have_names_of_their_own():
    assert multigrid(192) == "mpe-width64"
    assert fourier(4, 64) == "ffe-width64"
    found = [str(sorted(each.items())) for each in trainings().values()]
    assert len(set(found)) == len(found)
    assert not set(trainings()) & {name for kind in COMPARED for name in kernels(kind, 1024)}


@pytest.mark.parametrize(
    ("key", "value"),
    [("lambda_min", float("nan")), ("lambda_min", -1.0), ("lambda_min", "x"), ("floor", None)],
)
def test_weights_that_are_no_numbers_are_refused(tmp_path, key, value):
    items = weights("p0")
    items[0]["rows"] = [{**row, "lambda_max": 1.0, "median": 0.1} for row in items[0]["rows"]]
    place = tmp_path / "weights.json"
    place.write_text(json.dumps({"items": items}))
    assert load_weights(place) == items
    items[0]["rows"][0][key] = value
    place.write_text(json.dumps({"items": items}))
    with pytest.raises(UsageError, match=r"weights\.json: expected what weights\.py writes"):
        load_weights(place)


def test_weights_are_those_of_the_formed_kernels(tmp_path):
    (tmp_path / "picture").mkdir()
    place = tmp_path / "picture" / "mpe-width64.h5"
    place.write_bytes((GOLDEN / "mpe.h5").read_bytes())
    with ntkspec.open_run(place) as run:
        jacobian = run.snapshot(-1).jacobian.load()
    parts = ntkspec.gram_by_block(jacobian)
    for row, rate in zip(weighted(place)["rows"], RATES, strict=True):
        whole = sum(
            part * (rate if block.role == "grid" else 1)
            for block, part in zip(jacobian, parts.values(), strict=True)
        )
        values = np.linalg.eigvalsh(whole)[::-1]
        assert row["lambda_max"] == pytest.approx(values[0])
        assert row["median"] == pytest.approx(values[len(values) // 2], rel=1e-6)


def test_cells_say_what_is_zero_and_what_is_not_known():
    unknown = replace(curve(1.0), lambda_min=None, floor=1e-9)
    assert smallest([curve(1e-4), curve(1e-2)]) == "1.0e-03 (1.0e-04 to 1.0e-02)"
    assert (
        smallest([curve(1e-4), curve(0.0), unknown]) == "1.0e-04 in 1; 0 in 1; unresolved (<= 1.0e-09) in 1"
    )
    floor = replace(unknown, floor=1.31e-26)  # an upper limit is rounded up
    assert smallest([floor] * 2) == "unresolved (<= 1.4e-26) in 2"
    assert enclosure([stage(1e-4, 0.0), stage(1e-2, 0.0)]) == "5.0e-05 to 2.0e-02"
    assert enclosure([stage(1e-4, 0.0), stage(1e-2, 0.0, certified=None)]) == "-"


def test_the_best_lower_bound_is_that_of_the_worst_picture():
    runs = [outcome(f"p{k}", "a-x", 1e-3, 40.0) for k in range(2)]
    lower = (
        {"weyl_lower": 1e-4, "theorem1": 1e-5, "certified_lower": 9e-4},
        {"weyl_lower": 1e-9, "theorem1": 1e-7},
    )
    runs = [
        replace(run, stages={"end": replace(run.end, lower=each)})
        for run, each in zip(runs, lower, strict=True)
    ]
    row = Variants({"a": "A"}, {"x": {}}).table(runs).splitlines()[2]
    assert row.startswith("| A, x | 40.00 (40.00 to 40.00) |  | 1.0e-03 (1.0e-03 to 1.0e-03) |  | ")
    assert row.endswith(" | 5.0e-04 to 2.0e-03 | 1.0e-07 (theorem1) |")


def test_variants_are_compared_picture_by_picture():
    scores = {"a-x": (40.0, 20.0), "a-y": (42.0, 21.0)}
    runs = [
        replace(run, stages={"end": replace(run.end, lower={"weyl_lower": 0.0})})
        for name, both in scores.items()
        for k, each in enumerate(both)
        for run in [outcome(f"p{k}", name, 10.0 ** -(3 + k) * (10 if name == "a-y" else 1), each)]
    ]
    row = Variants({"a": "A"}, {"x": {}, "y": {}}).table(runs).splitlines()[3]
    assert row.startswith("| A, y | 31.50 (21.00 to 42.00) | 1.50 (1.00 to 2.00) | ")
    assert " | 1.00 (1.00 to 1.00) | " in row


def test_pixels_held_out_are_compared_picture_by_picture():
    """Fourier features draw best at sigma 4 on one picture, at sigma 8 on the other."""
    scores = dict.fromkeys(NETWORKS, (20.0, 20.0)) | {"baseline": (15.0, 17.0)}
    scores |= {"ffe-4": (24.0, 20.0), "ffe-8": (22.0, 26.0), "mpe-96": (25.0, 28.0)}
    runs = [
        replace(run, stages={"end": replace(run.end, metrics={LEARNT: 50.0, HELD_OUT: each})})
        for name, both in scores.items()
        for k, each in enumerate(both)
        for run in [outcome(f"p{k}", name, 1e-3, 0.0)]
    ]
    rows = dict(re.match(r"\| ([^|]*) \| (.*) \|$", row).groups() for row in held_out(runs).splitlines()[2:])
    assert list(rows) == [title for title, _ in NETWORKS.values()]
    assert rows["MPE, finest 96"].split(" | ")[:4] == [
        "50.00 (50.00 to 50.00)",
        "26.50 (25.00 to 28.00)",
        "10.50 (10.00 to 11.00)",
        "1.50 (1.00 to 2.00)",
    ]
    assert rows["FFE, sigma 8"].split(" | ")[2:4] == ["8.00 (7.00 to 9.00)", ""]


def test_measured_rows_become_cells():
    row = {"preset": "baseline", "together": 3, "one after the other": [9.0, 6.0, 5.0], "vmap": [4.0],
           "population": [3.0]}  # fmt: skip
    assert speed_table([row]).splitlines()[2] == (
        "| baseline, 3 at once | 6.0 (5.0 to 9.0) | 4.0 (4.0 to 4.0) | 3.0 (3.0 to 3.0) | 1.50 | 2.00 |"
    )
    cost = Cost("mpe-fine", 104111, [12.34, 12.0, 13.0], [0.256], 7.06, [0.0601], [0.614], 191.4)
    assert cost_table([cost]).splitlines()[2] == (
        "| MPE (fine) | 104,111 | 12.3 (12.0 to 13.0) | 0.26 (0.26 to 0.26) | 7.1 | 0.060 (0.060 to 0.060) "
        "| 0.61 (0.61 to 0.61) | 191 |"
    )


def test_what_was_found_in_our_results_is_not_said_of_others(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- findings -->") == text.count("<!-- end findings -->") > 5
    kept = without_findings(text, tmp_path)
    assert "In short" in text
    assert "In short" not in kept
    assert "findings" not in kept
    assert f"{tmp_path}/fig2.png" in kept
    assert f"`{tmp_path}`" in kept
    for ours in ("analysis/results", "192 x 192 x 3", "Stanford", "were written down"):
        assert ours in text
        assert ours not in kept
    assert kept.count("<!-- end ") == text.count("<!-- end ") - text.count("<!-- end findings")


QUOTED = [  # what findings say in prose, in its order, and the row of a table that says it too
    ("22.74", "MPE (fine) over baseline, dB"),
    ("15.31", "MPE (fine) over the best FFE, dB"),
    ("6.66", "MPE, finest 192"),
    ("1.25", "MPE, finest 192"),
    ("0.87", "share beyond 128 modes, end"),
    ("0.80", "share beyond 128 modes, end"),
    ("0.11", "share beyond 128 modes, init"),
    ("0.13", "share beyond 128 modes, init"),
    ("39 of 100", "MPE (coarse) over baseline, pictures"),
    ("2.16", "samples: 64"),
    ("1.27", "FFE, 256 frequencies, sigma 8 to 16"),
    ("1.26", "MPE (coarse) over FFE (high), dB"),
    ("0.91", "lambda_min, meshes against pictures"),
    ("0.51", "IoU, meshes against PSNR of pictures"),
    ("13.30", "finest level: 96 cells"),
    ("5.38", "no encoding, sine"),
    ("1.74", "MPE (fine), quadratic"),
    ("47.43", "MPE, finest 384"),
    ("24.19", "MPE, finest 12"),
    ("26.73", "MPE, finest 192"),
    ("6.66", "MPE, finest 192"),
    ("1.25", "MPE, finest 192"),
    ("15.53", "FFE, sigma 32"),
    ("20.07", "baseline"),
    ("0.87", "share beyond 128 modes, end"),
    ("0.80", "share beyond 128 modes, end"),
    ("0.11", "share beyond 128 modes, init"),
    ("0.13", "share beyond 128 modes, init"),
    ("0.58", "lambda_min, end"),
    ("0.33", "lambda_min, end"),
    ("0.43", "kernel distance from init, end"),
    ("1.27", "MPE (fine), 10 at once"),
]


def test_numbers_that_are_quoted_stand_in_the_tables():
    """No script writes them, so they must be what scripts wrote into the rows that are meant."""
    text = PAGE.read_text(encoding="utf-8")
    prose = " ".join(re.findall(r"<!-- findings -->(.*?)<!-- end findings -->", text, flags=re.DOTALL))
    found = re.findall(r"\d+\.\d+|\d+ of 100", " ".join(prose.split()))
    assert found == [number for number, _ in QUOTED]
    for number, start in QUOTED:
        rows = re.findall(rf"^\| {re.escape(start)} \|.*", text, flags=re.MULTILINE)
        assert any(re.search(rf"(?<![\d.]){re.escape(number)}(?!\d)", row) for row in rows), (number, start)
