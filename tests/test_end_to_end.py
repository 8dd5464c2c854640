"""Picture -> training -> run file -> report, through the command lines, as a user does it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import needs
import numpy as np
import pytest

from ntkspec import analyze, open_run, spectrum, train, validate

pytestmark = needs.torch
PICTURES = Path(__file__).parent.parent / "data" / "pictures"
SMALL = ["--side", "64", "--iterations", "40", "--batch", "1024", "--samples", "144", "--threads", "1", "-q"]
SMALL += ["--device", "cpu"]  # the same numbers on every machine
NEGATIVE_NUMBER = re.compile(r"(?<![\w.(])-\d")


def learn(picture: Path, preset: str, run: Path, *options: str) -> Path:
    assert train.main(["--image", str(picture), "--preset", preset, "-o", str(run), *SMALL, *options]) == 0
    return run


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A baseline on a patch, where a ReLU network is singular, and a fine multigrid, with their report."""
    folder = tmp_path_factory.mktemp("study")
    runs = [
        learn(PICTURES / "astronaut.png", preset, folder / f"{preset}.h5", "--sampling", "patch")
        for preset in ("baseline", "mpe-fine")
    ]
    assert analyze.main([*map(str, runs), "-o", str(folder / "report"), "-q"]) == 0
    return folder


def test_the_report_of_a_relu_baseline_invents_no_lambda_min(study, undrawn, capsys):
    assert analyze.main([str(study / "baseline.h5"), "-o", str(study / "one"), "--details"]) == 0
    out = capsys.readouterr().out
    assert "the network's kernel is singular: rank <=" in " ".join(out.split())
    said = (
        r"\(\d+ activation regions with at most 3 independent rows each\); as stored, all but \d+ directions"
    )
    assert re.search(said, " ".join(out.split()))
    assert not NEGATIVE_NUMBER.search(out), out
    report = json.loads((study / "report/report.json").read_text())
    for snap in report["runs"][0]["snapshots"]:
        total = snap["spectra"]["total"]
        assert total["lambda_min"] is None
        assert not total["rank"]["singular"]
        assert total["regions"]["singular"]
        assert total["regions"]["rest"] < 1e-20 * total["lambda_max"]
        assert (
            total["resolved"]
            <= total["regions"]["independent"]
            <= total["regions"]["at_most"]
            < total["size"]
        )
        assert min(total["eigenvalues"]) >= 0


def test_the_baseline_rank_obeys_the_count_of_activation_regions(study):
    """Within a region J is affine in x, so rank K <= 3 x regions; they are counted here from the weights."""
    import torch

    from ntkspec.nets.checkpoint import load_checkpoint

    with open_run(study / "baseline.h5") as run:
        model, _, _ = load_checkpoint(study / "baseline.checkpoints" / "end.pt")
        model = model.double()
        signs = []
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: signs.append(output > 0))
            for name, layer in model.named_modules()
            if name.startswith("mlp.hidden")
        ]
        model(torch.as_tensor(run.inputs, dtype=torch.float64))
        assert len(hooks) == 3
        regions = len(np.unique(torch.cat(signs, dim=1).numpy(), axis=0))
        assert len(np.unique(run.snapshot("end").regions)) == regions
        found = spectrum(run.snapshot("end").jacobian)
    assert 3 * regions < found.size, "choose a patch in fewer regions"
    assert 0 < found.resolved <= found.regions.independent <= found.regions.at_most <= 3 * regions


def test_one_run_has_everything_the_report_needs(study):
    report = json.loads((study / "report/report.json").read_text())
    fine = report["runs"][1]
    assert [snap["label"] for snap in fine["snapshots"]] == ["init", "mid", "end"]
    assert fine["label"] == "MPE (fine)"
    assert {"psnr_db", "loss"} <= set(fine["snapshots"][2]["metrics"])
    assert all(bound["holds"] for snap in fine["snapshots"] for bound in snap["bounds"])
    for name in ("spectra", "ablation", "pictures", "decades"):
        assert (study / "report/figures" / f"{name}.svg").stat().st_size > 1000
    page = (study / "report/index.html").read_text()
    assert "MPE (fine)" in page
    assert validate.main([str(study / "mpe-fine.h5"), "-q"]) == 0


def test_exported_outputs_are_the_network_s(study):
    import torch

    from ntkspec.nets.checkpoint import load_checkpoint

    model, config, step = load_checkpoint(study / "mpe-fine.checkpoints" / "end.pt")
    with open_run(study / "mpe-fine.h5") as run, torch.no_grad():
        outputs = model.double()(torch.as_tensor(run.inputs, dtype=torch.float64))
        assert np.allclose(outputs.numpy(), run.snapshot("end").outputs, rtol=1e-12, atol=1e-13)
    assert step == 40
    assert config.levels == 6


def test_on_a_picture_of_the_data_folder(tmp_path):
    # ImageNet is not ours to ship; the rest of this file runs on data/pictures.
    if not os.environ.get("NTKSPEC_DATA"):
        pytest.skip("NTKSPEC_DATA is not set: no ImageNet pictures to run on")
    pictures = sorted((Path(os.environ["NTKSPEC_DATA"]) / "imagenet100").glob("*.JPEG"))
    run = learn(pictures[0], "mpe-coarse", tmp_path / "run.h5")
    report = analyze.analyze_runs([run])
    assert len(report.runs[0].snapshots) == 3
