"""Training many at once: the same networks as training each alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ntkspec.errors import TrainingError, UsageError
from ntkspec.nets.build import build_model
from ntkspec.nets.image import ImageTask, pixel_centres
from ntkspec.nets.population import Population, train_population
from ntkspec.nets.presets import resolve
from ntkspec.nets.training import train

SIDE = 20


def picture(seed, side=SIDE, channels=3):
    values = np.random.default_rng(seed).random((side * side, channels), dtype=np.float32)
    return ImageTask(pixel_centres(side), values, side)


def holding_out(task, every):
    return replace(task, held_out=np.arange(0, len(task.values), every))


def short(preset, **changes):
    return resolve({"preset": preset, "side": SIDE, "iterations": 24, "batch": 150, "width": 16, **changes})


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("baseline", {}),
        ("baseline", {"activation": "sine", "lr": 1e-3}),
        ("ffe-medium", {"seed": 3}),
        ("ffe-medium", {"encoding": "axis", "octaves": 3}),
        ("mpe-coarse", {}),
        ("mpe-fine", {"level_features": 3, "checkpoints": (7,)}),
        ("mpe-fine", {"table_size": 64}),
        ("mpe-fine", {"interpolation": "smooth"}),
        ("mpe-fine", {"interpolation": "cubic"}),
        ("mpe-fine", {"batch": 10_000}),  # all pixels, every step
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "preset",
)
def test_every_member_is_what_training_it_alone_gives(preset, changes):
    config, pictures = short(preset, **changes), [picture(seed) for seed in (5, 6, 7)]
    together = train_population(config, pictures)
    for task, member in zip(pictures, together, strict=True):
        alone = train(config, task)
        assert [(kept.label, kept.step) for kept in member.snapshots] == [
            (kept.label, kept.step) for kept in alone.snapshots
        ]
        assert np.allclose(member.curve.losses, alone.curve.losses, rtol=1e-3)
        assert np.array_equal(member.curve.steps, alone.curve.steps)
        # Adam divides by the root of tiny second moments, so that rounding grows with every step.
        first, later = member.snapshots[0], alone.snapshots[0]
        assert all(torch.equal(first.state[name], later.state[name]) for name in later.state)
        outputs = [training.model(training.snapshots[-1])(torch.from_numpy(task.coordinates)).detach()
                   for training in (member, alone)]  # fmt: skip
        assert torch.allclose(*outputs, atol=5e-3)


def test_members_learn_what_is_not_held_out():
    config, pictures = short("mpe-fine"), [holding_out(picture(seed), 3) for seed in (5, 6)]
    alone = train(config, pictures[1]).snapshots[-1]
    together = train_population(config, pictures)[1].snapshots[-1]
    for name in ("loss", "psnr_db", "psnr_db_learnt", "psnr_db_held_out"):
        assert together.metrics[name] == pytest.approx(alone.metrics[name], rel=1e-4)
    with pytest.raises(UsageError, match="the same pixels are held out"):
        train_population(config, [pictures[0], holding_out(picture(6), 4)])


def test_members_learn_apart():
    config = short("mpe-fine")
    calm, wild = picture(1), picture(2)
    one = train_population(config, [calm, wild])[0].snapshots[-1]
    other = train_population(config, [calm, picture(3)])[0].snapshots[-1]
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_outputs_are_those_of_the_members():
    config = short("mpe-fine", table_size=64)
    network = build_model(config)
    population = Population(network, 4)
    with torch.no_grad():  # so that they differ
        for parameter in population.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x = torch.rand(30, 2, generator=torch.Generator().manual_seed(2))
    for index in range(4):
        network.load_state_dict(population.member(index))
        assert torch.allclose(population(x)[index], network(x), atol=1e-5)


def test_only_what_was_asked_for_is_kept():
    training = train_population(short("baseline"), [picture(1)], kept={"end"})[0]
    assert [kept.label for kept in training.snapshots] == ["end"]


@pytest.mark.parametrize(
    ("tasks", "got"),
    [
        ([], "none"),
        ([picture(1), picture(1, side=21)], "20 x 20 x 3, 21 x 21 x 3"),
        ([picture(1, channels=1)], "20 x 20 x 1"),
    ],
)
def test_pictures_that_do_not_go_together_are_refused(tasks, got):
    with pytest.raises(UsageError, match=got):
        train_population(short("baseline"), tasks)


def test_one_that_diverges_ends_it():
    task = picture(1)
    task.values[5] = np.inf
    with pytest.raises(TrainingError, match="finite loss"):
        train_population(short("baseline", batch=10_000), [picture(2), task])
