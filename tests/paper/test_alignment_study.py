"""The study of alignment: its verdicts on runs that were made up, and its numbers on a run file."""

import json
from dataclasses import replace
from pathlib import Path

import cases
import numpy as np
import pytest

import ntkspec
from analysis.paper.alignment import jobs, load, read, write
from analysis.paper.alignment_verdicts import STAGES, all_claims, table, tau_of_presets, taus
from analysis.paper.drawing import NAMES
from analysis.paper.held_out import HELD_OUT, LEARNT
from ntkspec.errors import UsageError
from ntkspec.population.aligned import ALIGNED, Aligned, aligned
from ntkspec.population.jobs import work
from ntkspec.store import RunWriter

PICTURE = Path(__file__).parents[2] / "data" / "pictures" / "astronaut.png"
# Of the presets in their order: PSNR, and the share beyond the leading modes before and after training.
LEARNT_DB = dict(zip(NAMES, (20.0, 24.0, 26.0, 27.0, 25.0, 45.0), strict=True))
AT_END = dict(zip(NAMES, (0.20, 0.10, 0.08, 0.07, 0.09, 0.01), strict=True))


def run(item, name, seed=0, **changed):
    known = {
        stage: {
            "beyond": (AT_END[name],) * 2 if stage != "init" else (0.5,) * 2,
            "modes": (1000 * AT_END[name],) * 2,
            "lambda_min": (0.0, 0.0) if name == "baseline" else (0.0, 1e-9),
            "distance": (1 - AT_END[name],) * 2,
        }
        for stage in STAGES
    }
    metrics = {LEARNT: LEARNT_DB[name], HELD_OUT: 60 - LEARNT_DB[name]}
    made = {"commit": "a"}
    config = {"task": {"image": f"{item}.png"}, "seed": seed, "trained_by": made}
    return replace(Aligned(item, name, config, 1024, metrics, known, made), **changed)


@pytest.fixture
def runs():
    """Ten pictures; at the end alignment goes with pixels learnt, and against those held out."""
    return [run(f"p{k}", name) for k in range(10) for name in NAMES]


def claims(runs):
    return {claim.letter: claim for claim in all_claims(runs)}


def test_the_verdicts_are_those_of_the_runs(runs):
    found = claims(runs)
    assert found["k"].verdict == "holds only for pixels learnt"
    assert [part.holds for part in found["k"].parts] == [True, False, True, False]
    assert found["k"].parts[0].found == "tau 1.00 [1.00, 1.00]"
    assert found["j"].verdict == "cannot be resolved"  # all presets alike
    assert found["m"].verdict == "cannot be resolved"  # all pictures alike


def test_what_is_not_told_apart_is_tied(runs):
    """lambda_min is between 0 and 1e-9 everywhere: no order; of one that is larger, five pairs of fifteen."""
    assert tau_of_presets(runs, "lambda_min", "end", LEARNT) is None
    finest = [replace(each, snapshots={**each.snapshots, "end": {
        **each.snapshots["end"], "lambda_min": (1e-3, 1e-3)}}) if each.name == "mpe-fine" else each
        for each in runs]  # fmt: skip
    tau = tau_of_presets(finest, "lambda_min", "end", LEARNT)
    assert tau.value == pytest.approx(5 / np.sqrt(5 * 15))
    assert claims(finest)["l"].verdict == "does not hold"


def test_pictures_are_compared_within_their_packs():
    """Two packs, whose levels differ: within each, less beyond the leading modes is better."""
    runs = []
    for k in range(8):
        for name in NAMES:
            one = run(f"p{k}", name, seed=k % 2)
            init = {**one.snapshots["init"], "beyond": (k / 10 + 3 * (k % 2),) * 2}
            metrics = {LEARNT: 30.0 - k + 20 * (k % 2), HELD_OUT: 20.0}
            runs.append(replace(one, metrics=metrics, snapshots={**one.snapshots, "init": init}))
    parts = {part.setting: part for part in claims(runs)["m"].parts}
    assert parts["baseline", "pixels learnt"].found == "tau 1.00 (1.00 to 1.00)"
    assert parts["baseline", "pixels held out"].holds is None


def test_tables_have_a_row_for_every_preset_and_number(runs):
    rows = table(runs).splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(NAMES.values())
    assert rows[0].endswith("| 50 / 20 / 20 | 200 / 200 / 200 | 0.80 / 0.80 | 0 |")
    assert rows[1].endswith(" | 0 to 1.0e-09 |")
    assert len(taus(runs).splitlines()) == 2 + 4 * 3 - 1
    assert "| modes for 90%, end | 1.00 [1.00, 1.00] | -1.00 [-1.00, -1.00] |" in taus(runs)


def test_runs_are_read_back_as_they_were_written(tmp_path, runs):
    place = tmp_path / "alignment.json"
    write(runs, place)
    again = read(place)
    assert [replace(each, config={}) for each in again] == [replace(each, config={}) for each in runs]
    assert {each.seed for each in again} == {0}
    content = json.loads(place.read_text())
    content["runs"][3]["snapshots"]["end"]["beyond"] = [0.1, float("nan")]
    place.write_text(json.dumps(content))
    with pytest.raises(
        UsageError, match=r"alignment\.json: expected what alignment\.py writes, got something"
    ):
        read(place)


def test_packs_share_a_seed_and_cover_the_folder():
    pictures = [Path(f"{k:02}.png") for k in range(12)]
    made = jobs(Path("study"), pictures, {})
    assert len(made) == 3 * len(NAMES)
    assert [source.stem for source in made[0].sources] == ["00", "03", "06", "09"]
    assert {job.settings["seed"] for job in made} == {0, 1, 2}
    assert {source for job in made for source in job.sources} == set(pictures)


def test_a_run_is_trained_measured_and_may_then_be_deleted(tmp_path):
    scale = {"side": 24, "iterations": 4, "batch": 50, "samples": 40, "width": 8}
    made = jobs(tmp_path, [PICTURE], scale)[0]
    work(made)
    (tmp_path / "astronaut" / "baseline.h5").unlink()
    assert made.missing() == ()
    (found,) = ALIGNED.all_in(tmp_path)
    assert {LEARNT, HELD_OUT} <= found.metrics.keys()
    assert list(found.snapshots) == list(STAGES)
    assert found.snapshots["init"]["beyond"] == (0.0, 0.0)  # there are 40 modes
    with pytest.raises(UsageError, match="expected a run ffe-high"):
        load(tmp_path)


def test_numbers_are_those_of_the_formed_kernel(tmp_path):
    """By their definition: the targets' squares along eigenvectors of J J^T, largest eigenvalue first."""
    rng, place = np.random.default_rng(0), tmp_path / "picture" / "small.h5"
    place.parent.mkdir()
    targets = rng.random((160, 2))
    kernels = {}
    with RunWriter(place, inputs=rng.random((160, 2)), targets=targets) as writer:
        for step, label in enumerate(STAGES):
            jacobian = cases.mixed(160, seed=step)
            kernels[label] = ntkspec.gram(jacobian)
            with writer.snapshot(label, step=step, label=label) as snapshot:
                snapshot.write(0, targets, jacobian)
    found = ALIGNED.find_or_make(place)
    assert ALIGNED.find(place) == found == aligned(place)
    centred = targets - targets.mean(axis=0)
    for label, kernel in kernels.items():
        values, vectors = np.linalg.eigh(kernel)
        held = np.cumsum(((vectors[:, ::-1].T @ centred) ** 2).sum(axis=1) / (centred**2).sum())
        numbers = found.snapshots[label]
        assert numbers["modes"] == (np.searchsorted(held, 0.9) + 1,) * 2
        assert numbers["beyond"] == pytest.approx((1 - held[127],) * 2, rel=1e-4)
        assert numbers["lambda_min"] == pytest.approx((values[0],) * 2, rel=1e-4)
        apart = 1 - (kernels["init"] * kernel).sum() / np.linalg.norm(kernels["init"]) / np.linalg.norm(
            kernel
        )
        assert numbers["distance"] == pytest.approx((apart,) * 2, rel=1e-4, abs=1e-12)
