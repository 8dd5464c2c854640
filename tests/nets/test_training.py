"""Training: reproducible to the bit, recorded, and refused in one line when it diverges."""

import contextlib
import math
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

from ntkspec.errors import OutputError, TrainingError, UsageError
from ntkspec.nets.build import build_model
from ntkspec.nets.checkpoint import load_checkpoint, save_checkpoint
from ntkspec.nets.image import load_image
from ntkspec.nets.presets import resolve
from ntkspec.nets.run_folder import write_curve
from ntkspec.nets.steps import make_optimizer
from ntkspec.nets.training import snapshot_labels, train


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    return load_image(path, 32)


def short(name, **changes):
    return resolve({"preset": name, "side": 32, "iterations": 24, "batch": 200, "width": 16, **changes})


def same(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "changes"),
    [("baseline", {}), ("ffe-high", {}), ("mpe-fine", {}), ("mpe-fine", {"table_size": 64})],
    ids=["baseline", "ffe-high", "mpe-fine", "mpe-fine hashed"],
)
def test_the_same_seed_gives_the_same_bits(task, name, changes):
    torch.manual_seed(1)
    one = train(short(name, **changes), task)
    torch.manual_seed(2)
    two = train(short(name, **changes), task)
    for first, second in zip(one.snapshots, two.snapshots, strict=True):
        assert same(first.state, second.state)
        assert first.metrics == second.metrics
        assert np.array_equal(first.picture, second.picture)
    assert np.array_equal(one.curve.losses, two.curve.losses)
    other = train(short(name, seed=1, **changes), task)
    assert not same(one.snapshots[-1].state, other.snapshots[-1].state)


def test_what_is_recorded(task):
    seen = []
    training = train(short("mpe-fine", checkpoints=(7, 12)), task, on_snapshot=seen.append)
    assert [(kept.label, kept.step) for kept in training.snapshots] == [
        ("init", 0), ("step-7", 7), ("mid", 12), ("end", 24)
    ]  # fmt: skip
    assert tuple(seen) == training.snapshots
    assert training.curve.steps.tolist() == [0, 10, 20]
    assert training.curve.losses[0] > training.curve.losses[-1] > 0
    losses = [kept.metrics["loss"] for kept in training.snapshots]
    assert losses == sorted(losses, reverse=True)
    end = training.snapshots[-1]
    assert end.picture.shape == (32, 32, 3)
    assert end.picture.dtype == np.uint8
    assert set(end.metrics) == {"loss", "psnr_db"}
    drawn = training.model(end)(torch.from_numpy(task.coordinates)).detach().numpy().clip(0, 1)
    assert end.metrics["psnr_db"] == pytest.approx(
        -10 * math.log10(np.mean((drawn - task.values) ** 2)), rel=1e-5
    )
    assert not same(training.snapshots[0].state, end.state)


def test_nothing_is_learnt_of_pixels_held_out(tmp_path):
    path = tmp_path / "astronaut.png"
    Image.fromarray(astronaut()).save(path)
    kept = load_image(path, 32, held_out=0.5)
    values = kept.values.copy()
    values[kept.held_out] = 1 - values[kept.held_out]
    turned = replace(kept, values=values)
    one, other = (train(short("mpe-fine", held_out=0.5), task) for task in (kept, turned))
    assert same(one.snapshots[-1].state, other.snapshots[-1].state)
    assert one.snapshots[-1].metrics["loss"] == other.snapshots[-1].metrics["loss"]
    names = ("psnr_db_learnt", "psnr_db_held_out")
    learnt, held_out = ([run.snapshots[-1].metrics[name] for run in (one, other)] for name in names)
    assert learnt[0] == learnt[1]
    assert held_out[0] != held_out[1]


def test_extra_checkpoints_do_not_change_the_training(task):
    plain, extra = train(short("ffe-low"), task), train(short("ffe-low", checkpoints=(3, 11)), task)
    assert same(plain.snapshots[-1].state, extra.snapshots[-1].state)


@pytest.mark.parametrize(
    ("iterations", "labels"), [(1, {0: "init", 1: "end"}), (2, {0: "init", 1: "mid", 2: "end"})]
)
def test_short_runs_have_no_snapshot_twice(task, iterations, labels):
    config = short("baseline", iterations=iterations)
    assert snapshot_labels(config) == labels
    assert len(train(config, task).snapshots) == len(labels)


def test_grey_pictures_and_full_batches(task, tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(astronaut()).save(path)
    grey = load_image(path, 8, grey=True)
    training = train(short("ffe-low", side=8, batch=64, outputs=1), grey)
    assert training.snapshots[-1].picture.shape == (8, 8)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_picture_of_other_outputs_is_refused(task, outputs):
    with pytest.raises(UsageError, match="config: expected inputs 2 and outputs 3, as the task has them"):
        train(short("baseline", outputs=outputs), task)


def test_what_is_called_with_each_snapshot_is_a_function(task):
    with pytest.raises(UsageError, match="on_snapshot: expected a function, got 5"):
        train(short("baseline"), task, on_snapshot=5)


def test_learning_rates_of_the_two_groups():
    config = resolve({"preset": "mpe-fine", "lr": 0.1, "grid_lr": 0.2})
    network, grid = make_optimizer(build_model(config), config).param_groups
    assert (network["lr"], grid["lr"]) == (0.1, 0.2)
    assert len(grid["params"]) == config.levels
    assert len(network["params"]) == 2 * (config.depth + 1)
    assert len(make_optimizer(build_model(resolve({"preset": "baseline"})), config).param_groups) == 1


def test_a_diverged_training_names_step_loss_and_remedy(task):
    with pytest.raises(TrainingError, match=r"step \d+.*(nan|inf).* lr \(now 1e\+30\)"):
        train(short("baseline", lr=1e30), task)
    with pytest.raises(TrainingError, match=r"lr .now .* or grid_lr"):
        train(short("mpe-fine", lr=1e-3, grid_lr=1e37), task)


def test_the_global_setting_is_put_back(task):
    train(short("baseline", iterations=1), task)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(TrainingError):
        train(short("baseline", lr=1e30), task)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("name", ["ffe-high", "mpe-fine"])
def test_checkpoints_give_the_same_network_again(tmp_path, name):
    config = short(name, seed=3)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    save_checkpoint(tmp_path / "end.pt", config, 24, model.state_dict())
    again, its_config, step = load_checkpoint(tmp_path / "end.pt")
    assert (its_config, step) == (config, 24)
    assert same(model.state_dict(), again.state_dict())
    assert os.listdir(tmp_path) == ["end.pt"]
    x = torch.rand(9, 2)
    assert torch.equal(model(x), again(x))


@contextlib.contextmanager
def small_files(size):
    """No file may be larger than that; the system says so as it says that a disk is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 1000])
def test_a_full_disk_is_told_as_such(tmp_path, size):
    config = short("baseline")
    state = build_model(config).state_dict()
    with pytest.raises(OutputError, match=r"end\.pt: expected to write the file, got File too large"):
        with small_files(size):
            save_checkpoint(tmp_path / "end.pt", config, 24, state)
    assert os.listdir(tmp_path) == []
    with pytest.raises(OutputError, match=r"loss\.csv: expected to write the file, got File too large"):
        with small_files(size):
            write_curve(tmp_path, np.arange(1000), np.zeros(1000))


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_a_checkpoint_that_would_execute_something_is_refused(tmp_path):
    fell = tmp_path / "fell"
    torch.save({"config": "{}", "step": 0, "state": Bomb(str(fell))}, tmp_path / "bomb.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Bomb(str(fell))))
    for name in ("bomb.pt", "plain.pt"):
        with pytest.raises(UsageError, match="torch refuses to load"):
            load_checkpoint(tmp_path / name)
    assert not fell.exists()


def test_bad_checkpoints(tmp_path):
    config = short("baseline")
    state = build_model(config).state_dict()
    good = {"config": config.to_json(), "step": 1, "state": state}
    contents = {
        "list": [1],
        "empty": {},
        "config": {**good, "config": "{"},
        "unknown": {**good, "config": '{"model": {"hight": 3}}'},
        "step": {**good, "step": -1},
        "state": {**good, "state": {}},
        "whole": {**good, "state": {name: tensor.char() for name, tensor in state.items()}},
        "complex": {**good, "state": {name: tensor * 1j for name, tensor in state.items()}},
        "other": {**good, "state": build_model(short("baseline", width=17)).state_dict()},
    }
    for name, content in contents.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text").write_text("hello")
    (tmp_path / "void").write_bytes(b"")
    torch.save(good, tmp_path / "good")
    (tmp_path / "cut").write_bytes((tmp_path / "good").read_bytes()[:-500])
    for name in [*contents, "text", "void", "cut", "absent", "."]:
        with pytest.raises(UsageError) as caught:
            load_checkpoint(tmp_path / name)
        assert "\n" not in str(caught.value), name
    load_checkpoint(tmp_path / "good")


def test_a_checkpoint_that_cannot_be_written(tmp_path):
    with pytest.raises(OutputError):
        save_checkpoint(tmp_path / "absent" / "end.pt", short("baseline"), 0, {})
