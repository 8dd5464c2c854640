"""Learning rates of groups of parameters: Ostrowski's bounds, and the scaled Jacobian itself."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian
from ntkspec.spectral import bounds

RATES = st.floats(1e-6, 1e6)


def effective(jac: Jacobian, rates, outputs) -> np.ndarray:
    """J diag(s) J^T: every block's kernel by the definition, times its rate."""
    kernels = (rates.get(name, 1.0) * oracles.kernel(jac.only(name), outputs) for name in jac.names)
    return sum(kernels, np.zeros((jac.kernel_size(outputs),) * 2))


@pytest.mark.parametrize("outputs", cases.MODES)
@given(rates=st.fixed_dictionaries({}, optional=dict.fromkeys(cases.mixed().names, RATES)))
def test_scaled_is_the_jacobian_of_the_effective_kernel(outputs, rates):
    jac = cases.mixed(4)
    expected = effective(jac, rates, outputs)
    assert np.allclose(
        ntkspec.gram(jac.scaled(rates), outputs), expected, rtol=1e-12, atol=1e-13 * expected.max()
    )


@pytest.mark.parametrize("name", cases.blocks(4, 2))
def test_every_kind_of_block_scales(name):
    jac = Jacobian((cases.blocks(4, 2)[name],))
    assert np.allclose(jac.scaled({name: 9.0}).to_dense(), 3 * jac.to_dense())


@given(st.tuples(RATES, RATES, RATES, RATES))
def test_ostrowski_holds_and_is_the_definition(rates):
    jac = cases.mixed(6)
    before, after = (
        ntkspec.spectrum(jac),
        ntkspec.spectrum(jac.scaled(dict(zip(jac.names, rates, strict=True)))),
    )
    lower, upper = bounds.ostrowski_lower(before, min(rates)), bounds.ostrowski_upper(before, max(rates))
    assert lower.holds(after)
    assert upper.holds(after)
    for i in range(6):
        assert lower.values[i] == min(rates) * (before.eigenvalues[i] - before.error[i])
        assert upper.values[i] == max(rates) * (before.eigenvalues[i] + before.error[i])


def test_one_rate_for_all_attains_both():
    jac = cases.mixed(6)
    before, after = ntkspec.spectrum(jac), ntkspec.spectrum(jac.scaled({"grid": 4.0, "network": 4.0}))
    assert np.allclose(bounds.ostrowski_lower(before, 4.0).tightness(after), 0, atol=1e-9)
    assert np.allclose(bounds.ostrowski_upper(before, 4.0).tightness(after), 0, atol=1e-9)


def test_a_name_goes_before_a_role_and_unnamed_blocks_stay_as_they_are():
    jac = cases.mixed(5)
    scaled = jac.scaled({"grid": 4.0, "level.1": 9.0})
    for name, by in {"level.0": 2.0, "level.1": 3.0, "layer.0": 1.0, "layer.1": 1.0}.items():
        assert np.allclose(scaled[name].to_dense(), by * jac[name].to_dense())
    assert scaled["layer.0"] is jac["layer.0"]
    assert jac.scaled({"grid": 1})["level.0"] is jac["level.0"]


def test_precision_and_layout_stay_and_the_original_is_not_touched():
    jac = cases.mixed(5, dtype=np.float32)
    before = jac.to_dense().copy()
    scaled = jac.scaled({"network": 0.3, "level.0": np.float64(2)})
    assert scaled.dtype == np.float32
    assert scaled.names == jac.names
    assert scaled.nbytes == jac.nbytes
    assert np.array_equal(jac.to_dense(), before)


def test_factors_in_a_run_file_are_scaled_too(tmp_path):
    jac = cases.mixed(5)
    with ntkspec.open_run(runs.write_run(tmp_path / "run.h5", jac)) as run:
        scaled = run.snapshot("init").jacobian.scaled({"grid": 4.0})
        assert np.allclose(scaled.only("grid").to_dense(), 2 * jac.only("grid").to_dense())
        assert np.array_equal(scaled.only("network").to_dense(), jac.only("network").to_dense())


@pytest.mark.parametrize("rate", [0, -1.0, np.nan, np.inf, "1", None, True, 10**400])
def test_rates_that_are_not_positive_numbers_are_refused(rate):
    jac = cases.mixed(5)
    with pytest.raises(UsageError, match=r"rate of grid: expected a positive, finite number, got .*; give"):
        jac.scaled({"grid": rate})
    for of in (bounds.ostrowski_lower, bounds.ostrowski_upper):
        with pytest.raises(UsageError, match="rate: expected a positive, finite number"):
            of(ntkspec.spectrum(jac), rate)


def test_unknown_names_are_refused():
    with pytest.raises(UsageError, match="'gird'"):
        cases.mixed(5).scaled({"gird": 2.0})


@pytest.mark.parametrize("rate", [1e100, 1e-100])
def test_rates_that_leave_single_precision_are_refused(rate):
    with pytest.raises(UsageError, match="float32"):
        cases.mixed(5, dtype=np.float32).scaled({"grid": rate})


def test_a_block_of_zeros_scales():
    jac = Jacobian((cases.block("b", None, DenseFactor(np.zeros((3, 1, 2))), 3, 1),))
    assert not jac.scaled({"b": 2.0}).to_dense().any()


def test_vacuous_when_nothing_is_known_of_lambda_min():
    singular = ntkspec.spectrum(cases.prescribed(np.array([3.0, 2, 1]), 2))
    regular = ntkspec.spectrum(cases.prescribed(np.array([3.0, 2, 1]), 5))
    assert bounds.ostrowski_lower(singular, 0.5).vacuous
    assert not bounds.ostrowski_lower(regular, 0.5).vacuous
    assert not bounds.ostrowski_upper(regular, 2.0).vacuous
    assert bounds.ostrowski_upper(ntkspec.spectrum(cases.prescribed(np.ones(3), 3)), 2.0).vacuous


def test_an_incomplete_spectrum_is_refused():
    top = ntkspec.spectrum(cases.mixed(9), k=3)
    for of in (bounds.ostrowski_lower, bounds.ostrowski_upper):
        with pytest.raises(UsageError, match="complete"):
            of(top, 1.0)


@pytest.mark.parametrize(
    ("dtype", "size", "rate", "kept"),
    [
        (np.float32, 1e-30, 1e-20, False),  # products of five digits: eigenvalues were 25 stated errors off
        (np.float32, 1e-20, 1e-12, True),
        (np.float32, 1e20, 1e-80, True),
        (
            np.float32,
            1e25,
            1e-86,
            True,
        ),  # a rate whose root float32 has not: it was rounded before it was used
        (np.float64, 1e-250, 1e-120, False),
        (np.float64, 1e120, 1e-300, True),
    ],
)
def test_scaled_numbers_keep_their_digits_or_are_refused(dtype, size, rate, kept):
    values = (size * np.random.default_rng(0).uniform(1, 2, (5, 1, 7))).astype(dtype)
    jac = Jacobian((cases.block("b", None, DenseFactor(values), 5, 1),))
    if not kept:
        with pytest.raises(
            UsageError, match=f"rate of b: expected one that keeps the block's numbers in {dtype.__name__}"
        ):
            jac.scaled({"b": rate})
        return
    exact = np.sqrt(rate) * values[:, 0].astype(np.float64)
    apart = np.abs(jac.scaled({"b": rate}).to_dense()[:, 0] - exact)
    assert (apart <= np.finfo(dtype).eps * exact).all()


def test_no_scaled_number_becomes_zero():
    """A zero that was none made a kernel "exactly singular"."""
    values = np.diag([1.0, 1e-300, 1.0])[:, None]
    jac = Jacobian((cases.block("b", None, DenseFactor(values), 3, 1),))
    assert not ntkspec.spectrum(jac.scaled({"b": 1e-60})).singular
