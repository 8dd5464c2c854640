"""Training and export on a CUDA device against the CPU; skipped where there is none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from ntkspec import analyze, validate
from ntkspec import train as train_command
from ntkspec.commands.export_checkpoints import main as export
from ntkspec.export import RunExporter, jacobian
from ntkspec.nets.build import build_model
from ntkspec.nets.devices import find_device
from ntkspec.nets.image import ImageTask, pixel_centres
from ntkspec.nets.metrics import picture_metrics
from ntkspec.nets.population import train_population
from ntkspec.nets.presets import resolve
from ntkspec.nets.training import predictor, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device"),
]

SIDE, STEPS = 20, 12
# Two devices round each step otherwise, by about 1e-7, and Adam divides by the root of tiny second moments.
LOSSES, OUTPUTS = 1e-2, 2e-2  # relative; of values in [0, 1]
DOUBLE = 1e-10  # of the largest entry: two devices' roundings of a Jacobian in float64
SINGLE = 2e-5  # the same in float32, of layers of width 256: rounding takes 4e-7, TF32 would take 3e-4

NETWORKS = [
    ("baseline", {}),
    ("baseline", {"activation": "sine", "lr": 1e-3}),
    ("ffe-medium", {}),
    ("ffe-medium", {"encoding": "axis", "octaves": 3}),
    ("mpe-fine", {}),
    ("mpe-fine", {"table_size": 64}),
    ("mpe-fine", {"interpolation": "smooth"}),
    ("mpe-fine", {"interpolation": "cubic"}),
    ("mpe-fine", {"batch": 10_000}),  # all pixels, every step
]
IDS = ["+".join([name, *map(str, changes.values())]) for name, changes in NETWORKS]


def picture(seed: int, side: int = SIDE) -> ImageTask:
    values = np.random.default_rng(seed).random((side * side, 3), dtype=np.float32)
    return ImageTask(pixel_centres(side), values, side)


def short(preset: str, **changes: Any) -> Any:
    return resolve(
        {"preset": preset, "side": SIDE, "iterations": STEPS, "batch": 150, "width": 16, **changes}
    )


def same_bits(one: Any, other: Any) -> bool:
    pairs = zip(one.snapshots, other.snapshots, strict=True)
    states = all(
        torch.equal(first.state[name], second.state[name])
        for first, second in pairs
        for name in first.state.keys() | second.state.keys()
    )
    return states and np.array_equal(one.curve.losses, other.curve.losses)


def drawn(training: Any, task: ImageTask) -> Any:
    return predictor(training.model(training.snapshots[-1]))(task.coordinates)


def largest(array: Any) -> float:
    return float(np.abs(array).max())


@pytest.mark.parametrize(("name", "changes"), NETWORKS, ids=IDS)
def test_training_repeats_to_the_bit_and_agrees_with_the_cpu(name: str, changes: Any) -> None:
    config, task = short(name, **changes), picture(1)
    one, again = (train(config, task, device=find_device("cuda")) for _ in range(2))
    assert same_bits(one, again)
    assert one.device == "cuda:0"
    assert all(tensor.device.type == "cpu" for kept in one.snapshots for tensor in kept.state.values())
    on_cpu = train(config, task)
    for key, tensor in on_cpu.snapshots[0].state.items():
        assert torch.equal(one.snapshots[0].state[key], tensor), key
    assert one.curve.losses[0] == pytest.approx(on_cpu.curve.losses[0], rel=1e-5)
    assert np.allclose(one.curve.losses, on_cpu.curve.losses, rtol=LOSSES)
    assert np.allclose(drawn(one, task), drawn(on_cpu, task), atol=OUTPUTS)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("name", "changes"), NETWORKS, ids=IDS)
def test_a_population_repeats_to_the_bit_and_agrees_with_training_alone(name: str, changes: Any) -> None:
    config, tasks = short(name, **changes), [picture(seed) for seed in (5, 6, 7)]
    together, again = (train_population(config, tasks, device="cuda") for _ in range(2))
    assert all(same_bits(one, other) for one, other in zip(together, again, strict=True))
    for task, member in zip(tasks, together, strict=True):
        alone = train(config, task, device="cuda")
        assert np.allclose(member.curve.losses, alone.curve.losses, rtol=LOSSES)
        assert np.allclose(drawn(member, task), drawn(alone, task), atol=OUTPUTS)
        assert next(member.model(member.snapshots[0]).parameters()).device.type == "cuda"


def test_more_rows_than_a_launch_has_blocks() -> None:
    """A picture of 70,000 pixels, by lookups in tables that are hashed."""
    model = build_model(short("mpe-fine", side=64, table_size=256))
    x = np.random.default_rng(1).random((70_000, 2), dtype=np.float32)
    on_cpu = predictor(model)(x)
    assert np.allclose(predictor(model.to("cuda"))(x), on_cpu, atol=1e-5)


def test_metrics_agree_with_those_of_the_cpu() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((180, 180, 3))
    seen = truth + 0.05 * rng.standard_normal(truth.shape)
    here, there = (picture_metrics(truth, seen, device) for device in ("cpu", "cuda"))
    assert here["psnr_db"] == there["psnr_db"]
    assert here["ms_ssim"] == pytest.approx(there["ms_ssim"], abs=1e-4)


@pytest.mark.parametrize(("name", "changes"), NETWORKS, ids=IDS)
def test_a_jacobian_agrees_with_that_of_the_cpu(name: str, changes: Any) -> None:
    config = short(name, **changes)
    model = build_model(config)
    x = picture(1).coordinates[:90]
    here = jacobian(model, x)
    there = jacobian(model.to("cuda"), x)
    chunked = jacobian(model, x, chunk=17)
    assert next(model.parameters()).device.type == "cuda"
    assert here.names == there.names == chunked.names
    assert [block.widths for block in here] == [block.widths for block in there]
    assert [block.role for block in here] == [block.role for block in there]
    dense = here.to_dense()
    for other in (there, chunked):
        assert np.allclose(other.to_dense(), dense, rtol=0, atol=DOUBLE * largest(dense))
    assert (here.regions is None) == (there.regions is None)


def test_a_jacobian_in_single_precision_knows_no_tf32() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 256), nn.Tanh(), nn.Linear(256, 256), nn.Tanh(), nn.Linear(256, 1))
    x = torch.rand(64, 2, generator=torch.Generator().manual_seed(2))
    dense = jacobian(model, x).to_dense()
    model.to("cuda")
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cuda", torch.bfloat16):
            single = jacobian(model, x.to("cuda"), precision="float32").to_dense()
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
    assert np.allclose(single, dense, rtol=0, atol=SINGLE * largest(dense))


def test_no_more_than_a_chunk_is_on_the_device(tmp_path: Any) -> None:
    """A dense block of 4,160 parameters at 8,000 samples: 254 MiB, by a budget of 16 MiB."""
    torch.manual_seed(1)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(64, 64))
    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), normed, nn.Tanh(), nn.Linear(64, 1)).to("cuda")
    x = torch.rand(8000, 2, generator=torch.Generator().manual_seed(2))
    jacobian(model, x[:20])  # what libraries keep for themselves from now on
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with RunExporter(tmp_path / "run.h5", inputs=x, memory=1 / 64) as run:
        dense = run.snapshot(model, step=0).dense
    assert {name.rpartition(".")[2] for name in dense} == {"original0", "original1"}
    assert torch.cuda.max_memory_allocated() - before < len(x) * 4160 * 8 / 2
    assert validate.main([str(tmp_path / "run.h5"), "-q"]) == 0


def test_the_commands_name_the_device(tmp_path: Any, capsys: Any) -> None:
    from PIL import Image

    pixels = (255 * picture(1, 24).values.reshape(24, 24, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    run, other = tmp_path / "run.h5", tmp_path / "other.h5"
    words = ["--image", str(tmp_path / "picture.png"), "--preset", "mpe-fine", "--side", "24", "--width", "8"]
    words += ["--iterations", "5", "--batch", "100", "--samples", "40", "-o", str(run)]
    assert train_command.main([*words, "--device", "cuda"]) == 0
    assert "on cuda:0, " in capsys.readouterr().out
    with h5py.File(run) as file:
        x, outputs = file["samples/inputs"][:], file["snapshots/end/outputs"][:]
        assert json.loads(file.attrs["config"])["device"].startswith("cuda:0, ")
    assert analyze.main([str(run), "-o", str(tmp_path / "report"), "--backend", "cpu", "-q"]) == 0
    np.save(tmp_path / "x.npy", x)
    checkpoint = str(tmp_path / "run.checkpoints" / "end.pt")
    for device in ("cuda:0", "auto", "cpu"):
        again = ["--checkpoint", checkpoint, "--inputs", str(tmp_path / "x.npy"), "-o", str(other)]
        assert export([*again, "--device", device, "--overwrite"]) == 0
        with h5py.File(other) as file:
            found = json.loads(file.attrs["config"])["device"]
            assert found == "cpu" if device == "cpu" else found.startswith("cuda:0, ")
            assert np.allclose(file["snapshots/end/outputs"][:], outputs, atol=1e-9)
    assert train_command.main([*words, "--overwrite", "--device", "cuda:99"]) == 2
    assert "expected one of" in capsys.readouterr().err
    config = replace(short("baseline"), iterations=1)
    assert train(config, picture(1), device=find_device("auto")).device == "cuda:0"
