"""What an export asks of a device: full precision, room for a chunk and no more. No device is needed here."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from export_zoo import build, inputs
from torch import Tensor, nn

from ntkspec.errors import MemoryBudgetError
from ntkspec.export import budget, compute, driver, jacobian
from ntkspec.machine.memory import GIB

MIB = 2**20
CUDA = torch.device("cuda:0")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))


def samples(n: int) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(2))


class Watcher(nn.Module):
    """Keeps the settings that its forward pass sees; may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen, self.fails = network(), list[Any](), False

    def __deepcopy__(self, memo: Any) -> Watcher:
        twin = Watcher()
        twin.seen, twin.fails = self.seen, self.fails  # one list for all copies
        return twin

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((settings(), x.dtype))
        if self.fails:
            raise ValueError("on purpose")
        y: Tensor = self.inner(x)
        return y


def settings() -> tuple[Any, ...]:
    backends: Any = torch.backends
    switches = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul)
    precisions = [switch.fp32_precision for switch in switches]
    return (*precisions, backends.cudnn.allow_tf32, torch.is_autocast_enabled("cpu"))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("fails", [False, True])
def test_neither_tf32_nor_autocast_while_a_model_is_exported(precision: Any, fails: bool) -> None:
    model = Watcher()
    model.fails = fails
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            outside = settings()
            if fails:
                with pytest.raises(Exception, match="on purpose"):
                    jacobian(model, samples(6), precision=precision)
            else:
                jacobian(model, samples(6), precision=precision)
            assert settings() == outside
    finally:
        torch.set_float32_matmul_precision(before)
    assert outside[0] == "tf32"
    assert outside[-1] is True
    assert model.seen
    assert {seen for seen, _ in model.seen} == {("ieee", "ieee", "ieee", False, False)}


@pytest.mark.parametrize(
    ("device", "reserved", "allocated", "host", "expected"),
    [
        (400 * MIB, 0, 0, 64 * GIB, 100 * MIB),  # a quarter of what is free on the device
        (400 * MIB, 300 * MIB, 100 * MIB, 64 * GIB, 150 * MIB),  # what PyTorch holds and does not use is free
        (80 * GIB, 0, 0, 64 * GIB, GIB // 4),  # never more than that
        (80 * GIB, 0, 0, 200 * MIB, 50 * MIB),  # a chunk goes to the host
    ],
)
def test_a_chunk_is_planned_by_what_is_free(
    device: int, reserved: int, allocated: int, host: int, expected: int, monkeypatch: Any
) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda place: asked.append(place) or (device, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda place: asked.append(place) or reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda place: asked.append(place) or allocated)
    monkeypatch.setattr(budget, "available_bytes", lambda: host)
    assert budget.chunk_bytes(None, CUDA) == expected
    assert asked == [CUDA] * 3
    assert budget.chunk_bytes(2.0, CUDA) == 2 * GIB
    assert budget.chunk_bytes(None, torch.device("cpu")) == min(host // 4, GIB // 4)


def test_a_chunk_is_gone_before_the_next_is_computed(monkeypatch: Any) -> None:
    alive, sizes, usual = list[Any](), list[int](), driver.compute

    def watched(prepared: Any, plans: Any, choices: Any, x: Tensor, *before: Any) -> Any:
        assert all(chunk() is None for chunk in alive)
        chunk = usual(prepared, plans, choices, x, *before)
        alive.append(weakref.ref(chunk))
        sizes.append(len(x))
        return chunk

    monkeypatch.setattr(driver, "compute", watched)
    model, x = network(), samples(10)
    in_chunks = jacobian(model, x, chunk=4)
    assert sizes == [4, 4, 2]
    monkeypatch.undo()
    assert np.allclose(in_chunks.to_dense(), jacobian(model, x).to_dense(), rtol=1e-13, atol=0)


def test_a_device_that_is_full_is_no_reason_for_dense_blocks(monkeypatch: Any) -> None:
    usual = compute.factored

    def full(*arguments: Any, probing: bool) -> Any:
        if probing:
            return usual(*arguments, probing=probing)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ...")

    monkeypatch.setattr(compute, "factored", full)
    with pytest.raises(MemoryBudgetError) as raised:
        jacobian(network(), samples(6))
    assert str(raised.value) == (
        "model: expected enough memory for a pass through it, got CUDA out of memory. Tried to allocate "
        "2.00 GiB.; free memory, or give a smaller memory budget"
    )


@pytest.mark.parametrize("name", ["relu", "hashed multigrid", "layer used twice"])
def test_the_default_device_is_the_callers_alone(name: str) -> None:
    """`torch.set_default_device("cuda")` puts new tensors there; "meta" is another device that all have."""
    model = build(name)
    x = inputs().numpy()
    expected = jacobian(model, x).to_dense()
    with torch.device("meta"):
        found = jacobian(model, x).to_dense()
    np.testing.assert_array_equal(found, expected)
