"""What is kept of a run is what its report says."""

import json
import os
import shutil
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from analysis.paper.packed import load, pack
from ntkspec.analyze import analyze_runs
from ntkspec.errors import OutputError, UsageError
from ntkspec.population.json_files import write_json
from ntkspec.population.outcomes import OUTCOMES, from_dict, indices, outcome

GOLDEN = Path(__file__).parents[2] / "data" / "golden"


@given(size=st.integers(1, 5000))
def test_kept_indices(size):
    kept = indices(size)
    assert kept == sorted(set(kept))
    assert (kept[0], kept[-1]) == (1, size)
    assert len(kept) <= 57


@pytest.mark.parametrize("name", ["mpe", "mpe-hashed", "ffe", "baseline-patch"])
def test_an_outcome_is_what_the_analysis_says(name):
    found = outcome(GOLDEN / f"{name}.h5")
    report = analyze_runs([GOLDEN / f"{name}.h5"]).runs[0]
    with ntkspec.open_run(GOLDEN / f"{name}.h5") as run:
        jacobian = run.snapshots[-1].jacobian.load()
        assert found.parameters == np.prod(jacobian.to_dense().shape[2:])
    for snapshot in report.snapshots:
        stage = found.stages[snapshot.label]
        assert stage.step == snapshot.step
        for role, spectrum in snapshot.spectra.items():
            curve = stage.spectra[role]
            assert (curve.size, curve.resolved) == (spectrum.size, spectrum.resolved)
            if spectrum.lambda_min is None:
                assert curve.lambda_min is None
            else:
                assert curve.lambda_min == pytest.approx(spectrum.lambda_min, rel=1e-4)
            for index, value in zip(indices(curve.size), curve.values, strict=True):
                if index <= spectrum.resolved:
                    assert value == pytest.approx(spectrum.eigenvalues[index - 1], rel=1e-4)
                else:
                    assert value is None or (value == 0 and spectrum.singular)
        assert stage.bounds == len(snapshot.bounds)
        assert stage.broken == ()


def test_the_slack_of_theorem_1_by_its_definition():
    found = outcome(GOLDEN / "mpe.h5")
    with ntkspec.open_run(GOLDEN / "mpe.h5") as run:
        snapshot = run.snapshots[-1]
        total, kept = (
            np.linalg.svd(_rows(part), compute_uv=False) ** 2
            for part in (snapshot.jacobian, snapshot.jacobian.without("grid"))
        )
        slack = found.stages[snapshot.label].slack
    compared = int(slack["compared"])
    decades = np.log10(total[:compared] / kept[:compared])
    assert slack["least"] == pytest.approx(decades.min(), rel=1e-3, abs=1e-9)
    assert slack["median"] == pytest.approx(np.median(decades), rel=1e-3)


def _rows(jacobian):
    dense = jacobian.load().to_dense()
    return dense.reshape(len(dense), -1)


def test_round_trip_through_json():
    found = outcome(GOLDEN / "mpe.h5")
    assert from_dict(json.loads(json.dumps(asdict(found)))) == found


def test_outcomes_are_computed_once_and_again_for_a_newer_run_file(tmp_path):
    folder = tmp_path / "study" / "picture"
    folder.mkdir(parents=True)
    shutil.copy(GOLDEN / "mpe.h5", folder / "mpe.h5")
    first = OUTCOMES.find_or_make(folder / "mpe.h5")
    kept = folder / "mpe.json"
    content = json.loads(kept.read_text())
    content["outcome"]["label"] = "changed by hand"
    kept.write_text(json.dumps(content))
    assert load(tmp_path / "study")[0].label == "changed by hand"
    kept.write_text(json.dumps(content | {"version": 0}))  # of another analysis
    assert load(tmp_path / "study") == [first]
    kept.write_text(json.dumps(content))
    later = kept.stat().st_mtime + 10
    os.utime(folder / "mpe.h5", (later, later))
    assert load(tmp_path / "study") == [first]


def test_a_packed_study_is_the_study(tmp_path):
    for item in ("one", "two"):
        for name in ("mpe", "ffe"):
            (tmp_path / "study" / item).mkdir(parents=True, exist_ok=True)
            shutil.copy(GOLDEN / f"{name}.h5", tmp_path / "study" / item)
    found = load(tmp_path / "study")
    pack(found, tmp_path / "by name")
    pack(found, tmp_path / "in one", lambda _: "all")
    assert sorted(path.name for path in (tmp_path / "by name").iterdir()) == ["ffe.json", "mpe.json"]
    assert load(tmp_path / "by name") == load(tmp_path / "in one") == found
    (tmp_path / "by name" / "notes.json").write_text("[1]")
    pack(found[:2], tmp_path / "by name", attrgetter("item"))  # what was packed before is gone
    assert sorted(path.name for path in (tmp_path / "by name").iterdir()) == ["notes.json", "one.json"]
    (tmp_path / "by name" / "notes.json").unlink()
    assert load(tmp_path / "by name") == found[:2]


@pytest.mark.parametrize(
    "edit",
    [
        lambda run: run["stages"]["init"]["metrics"].update(psnr_db="x"),
        lambda run: run["stages"]["init"]["metrics"].update(psnr_db=float("nan")),
        lambda run: run["stages"]["init"]["spectra"]["total"].update(lambda_min=-1.0),
        lambda run: run["stages"]["init"]["spectra"]["total"].update(floor=None),
        lambda run: run["stages"]["init"]["spectra"]["total"]["values"].pop(),
        lambda run: run["stages"]["init"]["spectra"].pop("total"),
        lambda run: run["stages"]["init"].update(certified="ab"),
        lambda run: run["config"].update(seed="x"),
        lambda run: run.update(config=[]),
        lambda run: run.update(parameters="many"),
        lambda run: run.update(made=99),
    ],
)
def test_an_edited_pack_is_refused_in_a_line(tmp_path, edit):
    (tmp_path / "study" / "one").mkdir(parents=True)
    shutil.copy(GOLDEN / "mpe.h5", tmp_path / "study" / "one")
    pack(load(tmp_path / "study"), tmp_path / "packed")
    content = json.loads((tmp_path / "packed" / "mpe.json").read_text())
    edit(content["outcomes"][0])
    (tmp_path / "packed" / "mpe.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"mpe\.json: expected packed outcomes of version"):
        load(tmp_path / "packed")


def test_an_outcome_without_an_end_is_said_to_be_one():
    with pytest.raises(UsageError, match="expected a snapshot end, got init"):
        _ = outcome(GOLDEN / "mpe.h5").end


def test_a_run_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "study" / "one").mkdir(parents=True)
    shutil.copy(GOLDEN / "mpe.h5", tmp_path / "study" / "one")
    pack(load(tmp_path / "study"), tmp_path / "packed")
    shutil.copy(tmp_path / "packed" / "mpe.json", tmp_path / "packed" / "copy.json")
    with pytest.raises(UsageError, match=r"one, mpe: expected one run of this name, got several"):
        load(tmp_path / "packed")


@pytest.mark.parametrize(
    "spoilt", [lambda text: text[:500], lambda text: json.dumps(json.loads(text) | {"version": 2})]
)
def test_a_truncated_or_old_outcome_without_its_run_file_is_refused(spoilt, tmp_path):
    (tmp_path / "one").mkdir()
    for name in ("mpe", "ffe"):
        shutil.copy(GOLDEN / f"{name}.h5", tmp_path / "one")
    load(tmp_path)
    kept = tmp_path / "one" / "mpe.json"
    kept.write_text(spoilt(kept.read_text()))
    (tmp_path / "one" / "mpe.h5").unlink()
    with pytest.raises(UsageError, match=r"mpe\.json: expected an outcome of version"):
        load(tmp_path)


def test_nothing_is_left_where_an_outcome_cannot_be_written(tmp_path):
    (tmp_path / "claims.json").mkdir()
    with pytest.raises(OutputError, match=r"claims\.json: expected a file to write, got Is a directory"):
        write_json(tmp_path / "claims.json", {})
    assert [path.name for path in tmp_path.iterdir()] == ["claims.json"]


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ntkspec.NtkspecError, match="folder of folders of run files"):
        load(tmp_path)
