"""A few killed writers; `make kills` kills a hundred."""

from __future__ import annotations

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forked")


def test_a_killed_writer_loses_nothing_that_was_complete():
    from hostile import kills

    summary = kills.kills(count=4, seed=5)
    assert not summary["wrong"], summary
    assert sum(summary["found"].values()) == 4
