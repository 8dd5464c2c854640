"""Checks of our own numbers hold on sound ones, in every mode, and fail on spoilt ones."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.backend import select
from ntkspec.kernel.enclosure import form
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral import Rank, consistency
from ntkspec.spectral.certificate import positivity

CPU = select("cpu")


def all_checks(jac, outputs):
    found, formed = ntkspec.spectrum(jac, outputs), form(jac, outputs)
    return [
        *consistency.of_spectrum("total", found),
        consistency.of_kernel("total", positivity(formed)),
        *consistency.second_kernels("total", formed, Kernel(jac, outputs=outputs, backend=CPU)),
        *consistency.second_route("total", found, Kernel(jac, outputs=outputs, backend=CPU)),
    ]


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sound_numbers_pass(outputs, dtype):
    jac = cases.mixed(14, dtype=dtype)
    checks = all_checks(jac, outputs)
    names = ["trace", "semidefinite", "additivity", "symmetry", "tiles", "routes"]
    assert [check.name for check in checks] == names
    assert [check.name for check in checks if not check.holds] == []
    assert checks[4].statement == f"tiles of {jac.kernel_size(outputs) // 3} rows give the same"
    assert checks[5].statement == "gram and svd agree within their stated errors"


@pytest.mark.parametrize("place", [(3, 7), (0, 0), (13, 13)])
def test_a_spoilt_kernel_fails_where_it_should(place):
    jac = cases.mixed(14)
    formed = form(jac)
    formed.kernel[place] *= 1 + 1e-9
    failed = {
        check.name: check.holds
        for check in consistency.second_kernels("total", formed, Kernel(jac, backend=CPU))
    }
    assert failed == {"additivity": False, "symmetry": False, "tiles": False}


def test_a_kernel_of_nan_fails():
    formed = form(cases.mixed(14))
    formed.kernel[3, 7] = np.nan
    checks = consistency.second_kernels("total", formed, Kernel(cases.mixed(14), backend=CPU))
    assert not any(check.holds for check in checks)


def test_spoilt_spectra_fail():
    jac = cases.mixed(14)
    found = ntkspec.spectrum(jac)
    spoilt = replace(found, eigenvalues=found.eigenvalues * (1 + 1e-9))
    trace, rank = consistency.of_spectrum("total", replace(spoilt, rank=Rank(3, "made up")))
    assert not trace.holds
    assert not rank.holds
    (routes,) = consistency.second_route("total", spoilt, Kernel(jac, backend=CPU))
    assert not routes.holds


def test_no_second_route_without_memory():
    jac = cases.mixed(40)
    found = ntkspec.spectrum(jac)
    assert list(consistency.second_route("total", found, Kernel(jac, backend=CPU, budget=107))) == []


def test_a_proof_against_an_exact_zero_fails():
    """However small what is proved."""
    jac = cases.prescribed(np.full(14, 1e-9), 20)
    lower, _ = ntkspec.bounds.certified(jac)
    found = ntkspec.spectrum(jac)
    assert list(consistency.of_zeros("total", lower, found)) == []
    zeros = found.eigenvalues * (np.arange(14) < 13)  # a spectrum that denies a rank is not called singular
    called_singular = replace(found, eigenvalues=zeros, rank=Rank(13, "made up"))
    (check,) = consistency.of_zeros("total", lower, called_singular)
    assert not check.holds
