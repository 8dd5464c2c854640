"""The comparison of a chunk with one of its samples alone."""

from __future__ import annotations

import contextlib

import pytest
import torch
from torch import nn

from ntkspec.errors import ExportError
from ntkspec.export.alone import check_alone
from ntkspec.export.layout import Choices
from ntkspec.export.prepare import prepare
from ntkspec.nets.checkpoint import can_hold


@pytest.mark.parametrize(("whole", "refused"), [(1e-3, True), (1.0, False)])
def test_outputs_near_zero_are_rounded_as_larger_ones_are(whole: float, refused: bool) -> None:
    """As those of a chunk from a black part of a picture, in single precision."""
    torch.manual_seed(0)
    prepared = prepare(nn.Linear(2, 1), "float32")
    x = 1e-3 * torch.rand(4, 2)
    with torch.no_grad():
        prepared.model.bias.zero_()
        outputs = prepared.model(x) + 3e-6
    expected = pytest.raises(ExportError, match="do not depend on each other") if refused else None
    with expected or contextlib.nullcontext():
        check_alone(prepared, Choices(), x, outputs, whole)


@pytest.mark.parametrize(
    ("stored", "held"),
    [([3.0, 1.0], True), ([2.5, 1.0], False), ([3, 1], True), ([300, 1], False), ([1j, 0], False)],
)
def test_whole_numbers_are_loaded_without_loss(stored: list[complex], held: bool) -> None:
    assert can_hold(torch.zeros(2, dtype=torch.uint8), torch.tensor(stored)) is held
