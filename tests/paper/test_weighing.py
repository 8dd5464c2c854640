"""Verdicts: what claims are made of."""

from types import SimpleNamespace

import pytest

from analysis.paper.verdicts import Claim, Part, at_least


def test_a_claim_is_reached_by_the_whole_interval_or_not():
    assert at_least(SimpleNamespace(low=2.0, high=3.0), 2.0) is True
    assert at_least(SimpleNamespace(low=1.0, high=1.9), 2.0) is False
    assert at_least(SimpleNamespace(low=1.0, high=2.1), 2.0) is None


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([True, True], "holds"),
        ([False, False], "does not hold"),
        ([False, None], "does not hold for 0; cannot be resolved for 1"),
        ([False, *[None] * 5], "does not hold for 0; cannot be resolved for all others"),
        ([True, False, *[None] * 6], "holds only for 0; cannot be resolved for most others"),
        ([None, None], "cannot be resolved"),
        ([True, None], "holds only for 0; cannot be resolved for 1"),
        ([True, False, None], "holds only for 0; cannot be resolved for 2"),
    ],
)
def test_verdicts(parts, verdict):
    claim = Claim("x", "", tuple(Part((str(k),), "", holds) for k, holds in enumerate(parts)))
    assert claim.verdict == verdict
