"""Settings that every test needs, made before NumPy, Numba and torch start their threads."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # more of them on a busy machine are tens of times slower

# Below, since these import NumPy, whose BLAS reads the settings once.
import devices  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# Compiling a kernel takes longer than hypothesis' deadline; no test asserts a time.
settings.register_profile("ntkspec", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fixed", settings.get_profile("ntkspec"), derandomize=True)
settings.load_profile("ntkspec")


@pytest.fixture(autouse=True, scope="session")
def _one_server():
    """Commands that tests run in this process share one interpreter that tries their files out."""
    from ntkspec import sandbox

    with sandbox.server():
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, for tests that look at none: drawing takes most of the time."""
    monkeypatch.setattr("ntkspec.report.figures.draw_all", lambda *_: iter(()))
    monkeypatch.setattr("ntkspec.report.figures.ablation.draw", lambda *_, **__: None)
    monkeypatch.setattr("ntkspec.population.report.page.draw_all", lambda *_: iter(()))


# Entered once, not for each test: a variable that comes and goes breaks what Dask's threads start meanwhile.
HIDDEN = contextlib.ExitStack()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests marked gpu, visibly, where there is none; hide it from all others and their fixtures."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    reason = devices.missing() if marked else ""
    for item in marked:
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
    HIDDEN.enter_context(devices.hidden())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Show the devices to a test that is marked gpu."""
    if not item.get_closest_marker("gpu"):
        return (yield)
    HIDDEN.close()
    try:
        return (yield)
    finally:
        HIDDEN.enter_context(devices.hidden())
