"""report.json and spectra.csv: the schema, strictness, and nothing lost on the way."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ntkspec.report import to_json
from ntkspec.report.records import Report
from ntkspec.report.to_json import dumps

from . import samples

SPECTRUM_KEYS = {
    "blocks", "method", "precision", "eigenvalues", "complete", "floor", "resolved", "lambda_max",
    "lambda_min", "smallest_at_most",
    "condition", "trace", "effective_rank", "stable_rank", "size", "reason", "error", "rank", "regions",
    "trace_error",
}  # fmt: skip
BOUND_KEYS = {
    "name", "theorem", "quantity", "side", "of", "from", "values", "holds", "vacuous", "certified",
    "assumptions", "source", "tightness",
}  # fmt: skip


def _refuse(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


def test_json_has_the_schema(folder: Path) -> None:
    tree = json.loads((folder / "report.json").read_text(encoding="utf-8"), parse_constant=_refuse)
    assert list(tree)[:2] == ["format", "version"]
    assert (tree["format"], tree["version"], len(tree["runs"])) == ("ntkspec-report", 1, 6)
    for run in tree["runs"]:
        assert {
            "path",
            "label",
            "samples",
            "outputs",
            "mode",
            "size",
            "snapshots",
            "config",
            "warnings",
        } <= set(run)
        for snapshot in run["snapshots"]:
            assert {
                "id",
                "step",
                "label",
                "metrics",
                "spectra",
                "bounds",
                "checks",
                "kernel_distance",
                "alignment",
                "no_alignment",
                "eigenfunctions",
            } == set(snapshot)
            assert "total" in snapshot["spectra"]
            for spectrum in snapshot["spectra"].values():
                assert set(spectrum) == SPECTRUM_KEYS
                assert min(spectrum["eigenvalues"]) >= 0
                assert spectrum["smallest_at_most"] >= spectrum["eigenvalues"][-1]
                assert len(spectrum["error"]) == len(spectrum["eigenvalues"])
            assert all(set(bound) == BOUND_KEYS for bound in snapshot["bounds"])
    assert {"quantity", "of", "snapshot", "run", "baseline", "decades", "qualifier"} == set(
        tree["comparisons"][0]
    )


def test_json_text_is_the_tree(report: Report) -> None:
    assert json.loads(dumps(report)) == json.loads(json.dumps(to_json(report)))


def test_json_gives_null_for_what_cannot_be_given(report: Report) -> None:
    total = to_json(report)["runs"][0]["snapshots"][-1]["spectra"]["total"]
    assert total["lambda_min"] is None
    assert total["condition"] is None


def test_json_stays_strict_with_foreign_numbers() -> None:
    config = {"a": float("nan"), "b": [float("inf"), np.float32(2.5), {"c": np.arange(2)}], 3: Path("x")}
    run = samples.plain_run("x", 9, 0.5, size=8)
    snapshot = replace(run.snapshots[0], metrics={"loss": float("-inf")})
    report = samples.one_run(replace(run, config=config, snapshots=(snapshot,)))
    tree = json.loads(dumps(report), parse_constant=_refuse)
    assert tree["runs"][0]["config"] == {"a": None, "b": [None, 2.5, {"c": [0, 1]}], "3": "x"}
    assert tree["runs"][0]["snapshots"][0]["metrics"] == {"loss": None}


def test_json_ends_where_a_config_never_does() -> None:
    config: dict[str, Any] = {}
    config["again"] = config
    text = dumps(samples.one_run(replace(samples.plain_run("x", 9, 0.5, size=4), config=config)))
    assert len(json.loads(text)["runs"]) == 1


def test_csv_round_trip(report: Report, folder: Path) -> None:
    with (folder / "spectra.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ["run", "snapshot", "step", "spectrum", "index", "eigenvalue", "error", "resolved", "floor"]
    columns += ["zero", "radial_frequency"]
    assert list(rows[0]) == columns
    for run in report.runs:
        for snapshot in run.snapshots:
            for name, spectrum in snapshot.spectra.items():
                mine = [
                    row
                    for row in rows
                    if (row["run"], row["snapshot"], row["spectrum"]) == (run.label, snapshot.label, name)
                ]
                assert [int(row["index"]) for row in mine] == list(range(1, len(spectrum.eigenvalues) + 1))
                assert [float(row["eigenvalue"]) for row in mine] == spectrum.eigenvalues.tolist()
                assert [float(row["error"]) for row in mine] == spectrum.error.tolist()
                assert sum(int(row["resolved"]) for row in mine) == spectrum.resolved
                assert {float(row["floor"]) for row in mine} == {spectrum.floor}
                assert {int(row["step"]) for row in mine} == {snapshot.step}


@pytest.mark.parametrize("label", ["a,b", 'quo"te', "two\nlines", "ünï", "\ud800"])
def test_csv_keeps_or_survives_any_label(label: str, tmp_path: Path) -> None:
    from ntkspec.report.to_csv import write_csv

    path = tmp_path / "spectra.csv"
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        write_csv(samples.one_run(samples.plain_run(label, 9, 0.5, size=3)), file)
    with path.open(encoding="utf-8", newline="") as file:
        assert {row["run"] for row in csv.DictReader(file)} == {label.replace("\ud800", "?")}
