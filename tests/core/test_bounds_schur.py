"""The Schur product bound: the definition from the two factors, where it is attained, what it leaves out."""

from __future__ import annotations

import cases
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import DenseFactor, Jacobian, SparseFactor
from ntkspec.spectral import bounds
from ntkspec.spectral.bounds import schur

N = 5


def factor(values) -> DenseFactor:
    """A left factor (n, a), or a right one (n, c, b)."""
    values = np.asarray(values, dtype=float)
    return DenseFactor(values[:, None, :] if values.ndim == 2 else values)


def naive(jacobian: Jacobian, outputs) -> float:
    """Block by block from the Gram matrices, entry by entry; a left factor speaks of one row a sample."""
    total = 0.0
    for block in jacobian:
        n, c = block.samples, block.outputs
        left, right = block.left.to_dense()[:, 0], block.right.to_dense()
        p = Jacobian((cases.block("p", None, factor(left), n, 1),))
        q = Jacobian((cases.block("q", None, factor(right), n, c),))
        p, q = oracles.kernel(p, "trace"), oracles.kernel(q, outputs)
        p = np.array(
            [[p[i // (len(q) // n), j // (len(q) // n)] for j in range(len(q))] for i in range(len(q))]
        )
        low_p, low_q = (max(np.linalg.eigvalsh(m)[0], 0) for m in (p, q))
        total += max(low_p * q.diagonal().min(), low_q * p.diagonal().min())
    return total


def jacobian(a: int, b: int, c: int, seed: int) -> Jacobian:
    rng = np.random.default_rng(seed)
    return Jacobian(
        (
            cases.block("both", cases.dense(rng, N, 1, a), cases.dense(rng, N, c, b), N, c),
            cases.block("right", None, cases.dense(rng, N, c, b), N, c),
            cases.block("left", cases.dense(rng, N, 1, a), None, N, c),
        )
    )


@pytest.mark.parametrize("outputs", ["trace", "full", 0])
@given(a=st.integers(1, 8), b=st.integers(1, 12), c=st.integers(1, 2), seed=st.integers(0, 9999))
def test_value_is_the_definition_and_holds(outputs, a, b, c, seed):
    jac = jacobian(a, b, c, seed)
    bound, spectrum = bounds.schur_product(jac, outputs), ntkspec.spectrum(jac, outputs)
    assert np.isclose(bound.values[0], naive(jac, outputs), rtol=1e-6, atol=1e-9)
    assert bound.values[0] <= np.linalg.eigvalsh(oracles.kernel(jac, outputs))[0] + 1e-12 * spectrum.trace
    assert bound.holds(spectrum)
    assert bound.values.shape == (1,)
    assert bound.quantity == "lambda_min"


def test_attained_when_one_gram_matrix_is_the_identity():
    """P = I: K is the diagonal of Q."""
    right = np.random.default_rng(0).standard_normal((N, 1, 2))
    jac = Jacobian((cases.block("b", factor(np.eye(N)), factor(right), N, 1),))
    assert np.isclose(bounds.schur_product(jac).values[0], (right**2).sum(axis=2).min())


def test_attained_when_a_factor_is_absent():
    right = np.random.default_rng(0).standard_normal((N, 1, N))
    jac = Jacobian((cases.block("b", None, factor(right), N, 1),))
    assert np.isclose(bounds.schur_product(jac).values[0], ntkspec.spectrum(jac).lambda_min, rtol=1e-6)


def test_blocks_add_up():
    one = cases.block("one", factor(np.eye(N)), factor(2 * np.ones((N, 1, 1))), N, 1)
    two = cases.block("two", factor(3 * np.eye(N)), None, N, 1)
    assert np.isclose(bounds.schur_product(Jacobian((one, two))).values[0], 4 + 9)


def test_in_mode_full_the_left_factor_is_singular_and_only_the_right_counts():
    jac = Jacobian((cases.block("b", factor(np.eye(N)), factor(np.ones((N, 2, 1))), N, 2),))
    assert np.isclose(bounds.schur_product(jac, "trace").values[0], 2)
    assert bounds.schur_product(jac, "full").values[0] == 0
    assert np.linalg.eigvalsh(oracles.kernel(jac, "full"))[0] < 1e-12
    right = np.random.default_rng(1).standard_normal((N, 2, 2 * N))
    jac = Jacobian((cases.block("b", factor(np.eye(N)), factor(right), N, 2),))
    assert bounds.schur_product(jac, "full").values[0] > 0


def test_factors_with_fewer_touched_columns_than_rows_cost_nothing(monkeypatch):
    """A grid of a thousand nodes of which the samples touch four: P is singular."""
    rng = np.random.default_rng(0)
    grid = SparseFactor(rng.integers(0, 4, (N, 2)) * 100, rng.standard_normal((N, 1, 2)), 1000)
    jac = Jacobian((cases.block("grid", grid, cases.dense(rng, N, 1, 3), N, 1, "grid"),))
    monkeypatch.setattr(schur, "solve", None)
    bound = bounds.schur_product(jac)
    assert bound.values[0] == 0
    assert bound.vacuous


def test_an_unresolved_lambda_min_counts_as_nothing():
    left = np.ones((N, N + 1)) * np.linspace(1, 2, N + 1)
    bound = bounds.schur_product(Jacobian((cases.block("b", factor(left), None, N, 1),)))
    assert bound.values[0] == 0
    assert bound.vacuous


def test_not_vacuous_when_a_grid_reaches_every_sample():
    rng = np.random.default_rng(0)
    grid = SparseFactor(np.arange(2 * N).reshape(N, 2), np.ones((N, 1, 2)), 2 * N)
    jac = Jacobian((cases.block("grid", grid, cases.dense(rng, N, 1, 3), N, 1, "grid"),))
    assert not bounds.schur_product(jac).vacuous


def test_one_sample_attains():
    jac = Jacobian((cases.block("b", factor([[2.0]]), factor([[[3.0], [1.0]]]), 1, 2),))
    assert np.isclose(bounds.schur_product(jac).values[0], 4 * 10)


def test_factors_whose_squares_leave_the_range_count_as_nothing():
    """Though the block's kernel is well inside it."""
    rng = np.random.default_rng(0)
    left, right = factor(rng.standard_normal((N, N)) * 1e140), factor(rng.standard_normal((N, N)) * 1e-140)
    jac = Jacobian((cases.block("b", left, right, N, 1),))
    assert np.isfinite(ntkspec.spectrum(jac, backend="cpu").trace)
    bound = bounds.schur_product(jac, backend="cpu")
    assert bound.values[0] == 0
    assert bound.vacuous


def test_factors_whose_squares_overflow_say_nothing_of_an_ordinary_kernel():
    """No bound is NaN, which no spectrum obeys."""
    rng = np.random.default_rng(0)
    left, right = factor(rng.standard_normal((N, N)) * 1e160), factor(rng.standard_normal((N, N)) * 1e-160)
    jac = Jacobian((cases.block("b", left, right, N, 1),))
    bound = bounds.schur_product(jac, backend="cpu")
    assert bound.values[0] == 0
    assert bound.holds(ntkspec.spectrum(jac, backend="cpu"))


def test_the_rounding_of_entries_that_collide_is_taken_off():
    """1 + 0.75 eps - 1 rounds to eps, whose square is 1.8 times the exact one."""
    eps = 2.0**-52
    left = SparseFactor(np.zeros((1, 3), int), np.array([[[1.0, 0.75 * eps, -1.0]]]), 1)
    jac = Jacobian((cases.block("b", left, factor([[3.0]]), 1, 1),))
    assert bounds.schur_product(jac, backend="cpu").values[0] <= (0.75 * eps * 3) ** 2


def test_a_kernel_out_of_range_is_refused_as_by_every_route():
    jac = Jacobian((cases.block("b", None, factor([[np.inf]]), 1, 1),))
    with pytest.raises(UsageError, match="an overflow"):
        bounds.schur_product(jac, backend="cpu")
