"""A few of the searches' cases, and that a search would notice what is wrong."""

from __future__ import annotations

from dataclasses import replace

import cases
import mpmath
import numpy as np
import oracles
import pytest

import ntkspec
from hostile import certify, networks, search, spectra
from ntkspec.jacobian import DenseFactor


def test_structured_spectra_keep_their_promises():
    results = spectra.try_many(range(1_000_000, 1_000_000 + 3 * len(spectra.KINDS)))
    found = spectra.summary(results)
    assert found["violations"] == []
    assert found["resolved"] > 500


def test_reports_of_networks_do_not_contradict_themselves():
    found = networks.summary(networks.try_many(range(1_000_000, 1_000_000 + 3 * len(networks.ENCODINGS))))
    assert found["violations"] == []
    assert found["with regions"] > 0
    assert found["ranks of networks in exact arithmetic"] > 0


def test_exact_kernels_and_eigenvalues_are_exact():
    """Small integers: K = [[5, 3], [3, 2]], whose eigenvalues are (7 +- sqrt(45)) / 2."""
    jac = spectra.one_block(None, DenseFactor(np.array([[[1.0, 2.0]], [[1.0, 1.0]]])), 2)
    kernel = oracles.exact_kernel(jac, "trace")
    assert kernel == [[5, 3], [3, 2]]
    with mpmath.workdps(50):
        (large, small), _ = certify.exact_eigenvalues(kernel)
        assert abs(large - (7 + mpmath.sqrt(45)) / 2) < mpmath.mpf(10) ** -45
        assert abs(small - (7 - mpmath.sqrt(45)) / 2) < mpmath.mpf(10) ** -45


@pytest.mark.parametrize("spoil", ["value", "error", "floor", "rank", "zero", "regions"])
def test_violations_are_noticed(spoil):
    jac = cases.prescribed(np.geomspace(1, 1e-3, 5), 9)
    found = ntkspec.spectrum(jac, method="svd")
    truth, _ = certify.exact_eigenvalues(oracles.exact_kernel(jac, "trace"))
    assert spectra.violations(jac, "trace", found, truth) == []
    top = float(truth[0])
    wrong = {
        "value": replace(found, eigenvalues=found.eigenvalues * (1 + 1e-12)),
        "error": replace(found, eigenvalues=found.eigenvalues + 2 * found.error),
        "floor": replace(found, eigenvalues=found.eigenvalues * 0, error=found.error * 0, floor=top * 1e-9),
        "rank": replace(found, rank=ntkspec.spectral.Rank(found.resolved - 1, "made up")),
        "zero": replace(found, rank=ntkspec.spectral.Rank(0, "made up")),
        "regions": replace(found, regions=ntkspec.spectral.Regions(0, "made up", 0, top * 1e-9)),
    }[spoil]
    if spoil == "rank":
        wrong = replace(
            wrong, eigenvalues=np.where(np.arange(found.size) < found.resolved - 1, wrong.eigenvalues, 0)
        )
    assert spectra.violations(jac, "trace", wrong, truth)


def test_a_search_reports_violations_in_its_exit_code(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["search", "--cases", "3", "--processes", "1"])
    assert search.main("doc", 5, _seeds, lambda found: {"violations": [], "cases": len(found)}) == 0
    assert '"cases": 3' in capsys.readouterr().out
    assert search.main("doc", 5, _seeds, lambda found: {"violations": ["one"]}) == 1


def _seeds(seeds: range) -> list[int]:
    return list(seeds)
