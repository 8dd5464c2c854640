"""Devices by name, and training on one: PyTorch's device without numbers stands for a GPU.

"meta" computes shapes alone. `OneDevice` refuses there what CUDA refuses: operations on tensors of two
devices.
"""

import os
import warnings

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ntkspec.errors import TrainingError, UsageError
from ntkspec.nets import devices, population, steps, training
from ntkspec.nets.build import build_model
from ntkspec.nets.devices import check_device, described, find_device, full_float32
from ntkspec.nets.grid import GridLevel
from ntkspec.nets.image import ImageTask, pixel_centres
from ntkspec.nets.presets import resolve

SIDE = 12


@pytest.fixture
def two_gpus(monkeypatch):
    """PyTorch as it is with two of them; the devices that were tried out."""
    tried = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {torch.device(device).index}")
    monkeypatch.setattr(devices, "_try_out", tried.append)
    return tried


@pytest.fixture
def no_gpu(monkeypatch):
    def unavailable():
        warnings.warn("CUDA initialization: the driver is too old", UserWarning, stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", unavailable)


@pytest.mark.parametrize(
    ("name", "found"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_devices_by_name(name, found, two_gpus):
    device = find_device(name)
    assert str(device) == found
    assert two_gpus == ([] if name == "cpu" else [device])
    assert described(device) == {"cuda:0": "cuda:0, GPU 0", "cuda:1": "cuda:1, GPU 1", "cpu": "cpu"}[found]


def test_without_a_gpu(no_gpu):
    with warnings.catch_warnings(action="error"):
        assert str(find_device("auto")) == str(find_device("cpu")) == "cpu"
        with pytest.raises(UsageError, match="expected cpu, since no CUDA device is here, got cuda; see nv"):
            find_device("cuda")


def test_a_device_that_is_not_there(two_gpus):
    with pytest.raises(UsageError, match="expected one of 2 CUDA devices, from 0, got cuda:2"):
        find_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:x", "cuda:1000", "mps", "CPU"])
def test_what_names_no_device(name):
    with pytest.raises(UsageError, match=r"expected auto\|cpu\|cuda\[:N\]"):
        check_device(name)
    with pytest.raises(UsageError, match="option device"):
        find_device(name)


def test_a_device_that_cannot_be_used_is_one_line(monkeypatch):
    def ones(*args, **named):
        raise RuntimeError("CUDA error: no kernel image is available\nCompile with TORCH_USE_CUDA_DSA\n")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(UsageError) as raised:
        find_device("auto")
    assert str(raised.value) == (
        "option device: expected cuda:0 to take a number, got CUDA error: no kernel image is available; "
        "see nvidia-smi, or give device='cpu'"
    )


# -- float32


def switches():
    backends = torch.backends
    newer = (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn, backends.mkldnn.matmul)
    return [switch.fp32_precision for switch in newer]


def older():
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.fixture
def usual():
    """The switches as a process begins with them, whatever a test does."""
    with full_float32():
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = True
        yield


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("convolutions", [True, False])
def test_tf32_is_off_for_a_while(precision, convolutions, usual):
    torch.set_float32_matmul_precision(precision)
    torch.backends.cudnn.allow_tf32 = convolutions
    before = switches(), older()
    assert ("tf32" in before[0]) == (convolutions or precision != "highest")
    with warnings.catch_warnings(action="error"):
        with full_float32():
            assert switches() == ["ieee"] * 4
            assert older() == ("highest", False)
            assert torch.backends.cuda.matmul.allow_tf32 is False
        assert (switches(), older()) == before
        with pytest.raises(ZeroDivisionError), full_float32():
            raise ZeroDivisionError
        assert (switches(), older()) == before


def test_switches_that_disagree_stay_so(usual):
    """PyTorch refuses to read the older ones then."""
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    torch.backends.cudnn.conv.fp32_precision = "ieee"
    before = switches()
    with full_float32():
        assert switches() == ["ieee"] * 4
    assert switches() == before
    with pytest.raises(RuntimeError, match="mix of the legacy and new APIs"):
        older()


def test_warnings_of_what_runs_inside_are_heard():
    with pytest.warns(UserWarning, match="heard"), full_float32():
        warnings.warn("heard", UserWarning, stacklevel=1)


def test_settings_of_a_training_are_put_back(monkeypatch, usual):
    torch.set_float32_matmul_precision("high")
    for given in (None, ":0:0", ":16:8"):
        if given is None:
            monkeypatch.delenv(training.CUBLAS, raising=False)
        else:
            monkeypatch.setenv(training.CUBLAS, given)
        with pytest.raises(ZeroDivisionError), training.deterministic():
            assert torch.are_deterministic_algorithms_enabled()
            assert os.environ[training.CUBLAS] == (":16:8" if given == ":16:8" else ":4096:8")
            assert switches() == ["ieee"] * 4
            raise ZeroDivisionError
        assert not torch.are_deterministic_algorithms_enabled()
        assert os.environ.get(training.CUBLAS) == given
        assert torch.get_float32_matmul_precision() == "high"


# -- training on a device


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, but for copies and for numbers, as CUDA does."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor) and one.ndim]
        found = {str(one.device) for one in tensors}
        if len(found) > 1 and func.overloadpacket.__name__ != "copy_":
            raise AssertionError(f"{func} on {sorted(found)}")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def on_meta(monkeypatch):
    """Trains on "meta", where a loss has no number, and a gradient of grid_sample comes in any order."""

    def losses(stretch):
        assert {str(loss.device) for loss in stretch} == {"meta"}
        return np.ones((len(stretch), *stretch[0].shape), np.float32)

    def sample(level, x):
        raise AssertionError("grid_sample")

    monkeypatch.setattr(steps, "on_host", losses)
    monkeypatch.setattr(GridLevel, "_sample", sample)
    with OneDevice():
        yield


def picture(seed):
    values = np.random.default_rng(seed).random((SIDE * SIDE, 3), dtype=np.float32)
    return ImageTask(pixel_centres(SIDE), values, SIDE)


def short(preset, **changes):
    return resolve({"preset": preset, "side": SIDE, "iterations": 2, "batch": 50, "width": 8, **changes})


NETWORKS = [
    ("baseline", {}),
    ("baseline", {"activation": "sine"}),
    ("ffe-low", {}),
    ("ffe-low", {"encoding": "axis"}),
    ("mpe-fine", {}),
    ("mpe-fine", {"table_size": 64}),
    ("mpe-fine", {"interpolation": "smooth"}),
    ("mpe-fine", {"interpolation": "cubic"}),
    ("mpe-fine", {"batch": SIDE * SIDE}),  # all pixels, every step
]
IDS = ["+".join([name, *map(str, changes.values())]) for name, changes in NETWORKS]


@pytest.mark.parametrize(("name", "changes"), NETWORKS, ids=IDS)
def test_all_of_a_training_is_on_its_device(name, changes, on_meta):
    config = short(name, **changes)
    alone = training.train(config, picture(1), kept=(), device="meta")
    assert alone.device == "meta"
    for one in population.train_population(config, [picture(2), picture(3)], kept=(), device="meta"):
        assert one.device == "meta"
        assert one.curve.steps.tolist() == [0]


def test_a_network_is_evaluated_on_its_device(on_meta):
    """All is on one device up to where the loss becomes a number, of which "meta" has none."""
    model = build_model(short("mpe-fine", table_size=64)).to("meta")
    with pytest.raises(NotImplementedError, match="meta tensor"), training.deterministic():
        training.evaluate(model, picture(1), "end", 2)


def test_the_stand_in_refuses_two_devices():
    with OneDevice(), pytest.raises(AssertionError, match=r"on \['cpu', 'meta'\]"):
        torch.nn.functional.linear(torch.ones(3, 2), torch.ones(2, 2, device="meta"))


def test_a_model_is_where_it_was_trained():
    done = training.train(short("baseline"), picture(1), kept={"end"})
    assert done.device == "cpu"
    assert next(done.model(done.snapshots[0]).parameters()).device.type == "cpu"


def test_a_device_that_is_full_is_one_line(monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried 9 GiB.\nGPU 0 has")

    for module, learn in ((training, training.train), (population, population.train_population)):
        monkeypatch.setattr(module, "_step", full)
        with pytest.raises(TrainingError) as raised:
            learn(short("baseline"), picture(1) if module is training else [picture(1)], kept=())
        assert str(raised.value) == (
            "training: expected a device with room for a step, got CUDA out of memory. Tried 9 GiB.; "
            "lower batch or width, or give device='cpu'"
        )


def test_one_member_that_diverges_is_found_in_a_stretch():
    """Of two losses a step."""
    losses = np.array([[1, 1], [1, np.nan], [np.inf, 1]], dtype=np.float32)
    with pytest.raises(TrainingError, match=r"training, step 31: expected a finite loss, got nan"):
        steps.check_finite(losses.max(axis=1), 30, short("baseline"))
