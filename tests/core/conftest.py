"""The backends that a contract holds on."""

from __future__ import annotations

import pytest
from standins import stand_in_gpu

from ntkspec.backend import select


@pytest.fixture(params=["cpu", "stand-in gpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request, monkeypatch):
    """One backend after the other; a device only where there is one."""
    return stand_in_gpu(monkeypatch) if request.param == "stand-in gpu" else select(request.param)
