"""Where targets lie in a spectrum: by the definition, within stated angles, with floors and odd inputs."""

from __future__ import annotations

from dataclasses import replace

import cases
import mpmath
import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian
from ntkspec.spectral.alignment import TOLERANCE, align
from ntkspec.spectral.record import Spectrum


def rows(matrix):
    """A Jacobian of one output with these rows."""
    matrix = np.asarray(matrix, dtype=np.float64)
    return Jacobian((Block("w", "network", len(matrix), 1, None, DenseFactor(matrix[:, None])),))


def naive(kernel, values, outputs):
    """Shares mode by mode, output by output; values (n, c) are taken as they are."""
    columns = {"trace": values, "full": values.reshape(-1, 1)}.get(outputs)
    columns = values[:, [outputs]] if columns is None else columns
    eigenvalues, vectors = np.linalg.eigh(kernel)
    shares = np.array(
        [
            sum(float(vectors[:, i] @ columns[:, o]) ** 2 for o in range(columns.shape[1]))
            for i in reversed(range(len(eigenvalues)))
        ]
    )
    return eigenvalues[::-1], shares / np.sum(columns**2), columns


@pytest.mark.parametrize("outputs", cases.MODES)
@pytest.mark.parametrize("method", ["gram", "svd"])
def test_shares_against_the_definition(method, outputs, backend):
    jac = cases.mixed(8)
    rng = np.random.default_rng(1)
    y, f = rng.standard_normal((8, 2)) + 5, rng.standard_normal((8, 2))
    found = ntkspec.alignment(jac, y, f, outputs, method=method, backend=backend)
    kernel = oracles.kernel(jac, outputs)
    values, shares, columns = naive(kernel, y - y.mean(axis=0), outputs)
    assert np.allclose(found.eigenvalues, values)
    assert np.allclose(found.target, shares, rtol=TOLERANCE, atol=1e-12)
    assert np.allclose(found.residual, naive(kernel, y - f, outputs)[1], rtol=TOLERANCE, atol=1e-12)
    outer = columns @ columns.T
    expected = np.sum(kernel * outer) / np.linalg.norm(kernel) / np.linalg.norm(outer)
    assert found.kernel_target == pytest.approx(expected, rel=TOLERANCE)
    assert [found.beyond(k) for k in (0, 3, found.size)] == pytest.approx([1, shares[3:].sum(), 0], rel=1e-4)
    assert np.allclose(found.cumulative, np.cumsum(shares), rtol=1e-4)
    count = found.modes(0.9)
    assert np.sum(shares[:count]) >= 0.9 > np.sum(shares[: count - 1])
    assert found.more_than(0.9) == count - 1


@pytest.mark.parametrize("name", cases.blocks(2, 1))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_block_in_single_and_double_precision(name, dtype):
    jac = Jacobian((cases.blocks(6, 2, dtype=dtype)[name],))
    y = np.random.default_rng(2).standard_normal((6, 2)).astype(dtype)
    found = ntkspec.alignment(jac, y, backend="cpu")
    _, shares, _ = naive(oracles.kernel(jac, "trace"), y - y.mean(axis=0, dtype=np.float64), "trace")
    outside = np.array([found.beyond(k + 1) for k in range(len(found.target))])
    slack = found.angles + TOLERANCE
    assert (np.abs(outside - (1 - np.cumsum(shares)[: len(outside)])) <= slack).all()
    assert found.residual is found.residual_rest is None
    assert found.residual_over_time([1.0]) is None


def test_small_shares_and_the_flow_in_forty_digits():
    """A residual of which 1e-20 lies in the slowest mode: its share keeps its digits."""
    jac = cases.prescribed(np.array([7.0, 2.0, 0.5, 1e-3, 1e-5]), 6, seed=3)
    with mpmath.workdps(40):
        matrix = mpmath.matrix(jac.to_dense()[:, 0].tolist())
        values, vectors = mpmath.eigsy(matrix * matrix.T)  # ascending
        slowest = np.array([float(vectors[i, 0]) for i in range(5)])
        fast = np.array([float(vectors[i, 4] + vectors[i, 2]) for i in range(5)])
        residual = fast + 1e-4 * slowest
        parts = [sum(vectors[i, j] * mpmath.mpf(residual[i]) for i in range(5)) ** 2 for j in range(5)]
        shares = [float(part / sum(parts)) for part in reversed(parts)]
        decays = [[mpmath.exp(-2 * value * t) for value in values] for t in (0, 1, 30, 1e5)]
        left = [float(mpmath.fdot(parts, decay) / sum(parts)) for decay in decays]
    found = ntkspec.alignment(jac, np.arange(5.0), np.arange(5.0) - residual, method="svd", backend="cpu")
    assert found.residual[[0, 2, 4]] == pytest.approx(np.array(shares)[[0, 2, 4]], rel=TOLERANCE)
    low, high = found.residual_over_time([0, 1, 30, 1e5])
    assert (low <= left).all()
    assert (left <= high).all()
    assert (high <= np.array(low) * (1 + 1e-3)).all()


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.floats(1e-6, 1e6), st.floats(-1e5, 1e5), st.permutations(range(7)))
def test_scales_constants_and_the_order_of_samples_change_nothing(seed, scale, constant, order):
    rng = np.random.default_rng(seed)
    matrix, y, f = rng.standard_normal((7, 9)), rng.standard_normal(7), rng.standard_normal(7)
    one = ntkspec.alignment(rows(matrix), y, f, backend="cpu")
    order = list(order)
    moved, left = scale * (y[order] + constant), scale * (y - f)[order]
    other = ntkspec.alignment(rows(scale * matrix[order]), moved, moved - left, backend="cpu")
    assert np.allclose(one.target, other.target, atol=1e-4)
    assert np.allclose(one.residual, other.residual, atol=1e-4)
    assert one.kernel_target == pytest.approx(other.kernel_target, abs=1e-4)
    flows = [each.residual_over_time(2.0 / each.eigenvalues) for each in (one, other)]
    assert np.allclose(*flows, atol=1e-3)


def spectrum_of(kernel, error, *, floor=0.0, precision="float64"):
    """What a solver finds of a kernel whose eigenvalues are off by as much."""
    values, vectors = np.linalg.eigh(kernel)
    values = np.maximum(values[::-1], 0.0)
    return Spectrum(
        values, np.full(len(values), error), max(floor, error), len(values), float(values.sum()),
        "gram", precision, vectors=vectors[:, ::-1],
    )  # fmt: skip


def turned(n, rng):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


CLUSTERED = np.array([9.0, 5.0, 4.0 + 2e-9, 4.0 + 1e-9, 4.0, 4.0 - 1e-9, 1.0, 0.5])


def test_a_count_never_ends_inside_a_cluster():
    """Eigenvalues 3 to 6 are closer than their errors: their space is known, its directions are not."""
    rng = np.random.default_rng(5)
    basis = turned(8, rng)
    found = spectrum_of((basis * CLUSTERED) @ basis.T, 1e-8)
    y, jac = rng.standard_normal(8), rows(np.eye(8))
    plain = align(found, y, None, jac)
    inside = np.eye(8)
    inside[2:6, 2:6] = turned(4, rng)  # another basis of the same space, as good as the first
    other = align(replace(found, vectors=found.vectors @ inside), y, None, jac)
    assert not np.allclose(plain.target, other.target, rtol=0.01)
    for share in np.linspace(0.01, 1, 60):
        assert plain.modes(share) == other.modes(share)
        assert plain.modes(share) not in (3, 4, 5)
        assert plain.more_than(share) == other.more_than(share)
    assert {plain.modes(share) for share in np.linspace(0.01, 1, 300)} >= {2, 6}
    assert (plain.angles[2:5] == 1).all()
    assert (np.delete(plain.angles, [2, 3, 4]) < 1e-7).all()


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([1e-9, 1e-4, 1e-2, 0.2]))
def test_shares_of_the_true_kernel_lie_within_what_is_stated(seed, error):
    """The solver has K + E with ||E|| = error; of K itself all that is said holds."""
    rng = np.random.default_rng(seed)
    n = 6
    true = turned(n, rng) * np.sqrt(rng.exponential(size=n) * 3)
    kernel, noise = true @ true.T, rng.standard_normal((n, n))
    noise = noise + noise.T
    found = spectrum_of(kernel + error * noise / np.linalg.norm(noise, 2), error * (1 + 1e-9))
    y, f = rng.standard_normal(n), rng.standard_normal(n)
    said = align(found, y, f, rows(np.eye(n)))
    values, shares, _ = naive(kernel, (y - y.mean())[:, None], "trace")
    for k in range(len(said.target)):
        outside = float(shares[k + 1 :].sum())
        assert abs(outside - said.beyond(k + 1)) <= said.angles[k] + TOLERANCE
        assert abs(np.sqrt(outside) - np.sqrt(said.beyond(k + 1))) <= said.angles[k] + TOLERANCE
    for share in (0.3, 0.6, 0.9, 0.99):
        count = said.modes(share)
        assert count is None or shares[:count].sum() >= share - TOLERANCE
        assert shares[: said.more_than(share)].sum() <= share + TOLERANCE
    times = np.array([0.0, 0.1, 1.0, 10.0, 1e4])
    _, left, _ = naive(kernel, (y - f)[:, None], "trace")
    truth = np.exp(-2 * np.outer(times, np.maximum(values, 0.0))) @ left
    low, high = said.residual_over_time(times)
    assert (low - TOLERANCE <= truth).all()
    assert (truth <= high + TOLERANCE).all()


def test_the_stated_angle_is_not_far_from_what_can_happen():
    """Two modes, and the error that turns them most: the angle is half of what is stated, at least."""
    kernel, error = np.diag([2.0, 1.0]), 0.02
    found = spectrum_of(kernel + error * np.array([[0.0, 1.0], [1.0, 0.0]]), error)
    said = align(found, [1.0, -1.0], None, rows(np.eye(2)))
    turned_by = abs(found.vectors[1, 0])
    assert 0.5 * said.angles[0] <= turned_by <= said.angles[0]
    assert said.angles[1] == 0


def test_angles_of_singular_vectors():
    """Solver svd: an error t of J turns the space of two small singular values by t / gap, not by eps."""
    rng = np.random.default_rng(0)
    t, sigma = 1e-6, np.array([1.0, 1e-3, 5e-4, 1e-4])
    left, right, noise = turned(4, rng), turned(4, rng), rng.standard_normal((4, 4))
    u, s, _ = np.linalg.svd((left * sigma) @ right.T + t * noise / np.linalg.norm(noise, 2))
    found = Spectrum(s**2, 2 * t * s + t**2, 5.9 * t**2, 4, float(s @ s), "svd", "float64", vectors=u)
    said = align(found, rng.standard_normal(4), None, rows(np.eye(4)))
    for k in range(1, 4):
        sine = np.linalg.norm(left[:, k:].T @ u[:, :k], 2)
        assert sine <= said.angles[k - 1] <= 0.01


def test_what_is_not_resolved_is_one_rest():
    """Rank 3 of 6: half of the residual can never be learnt, and that the rest decays is not excluded."""
    jac = cases.prescribed(np.array([4.0, 1.0, 0.25, 0.0, 0.0, 0.0]), 3, seed=1)
    rng = np.random.default_rng(4)
    y, f = rng.standard_normal(6), rng.standard_normal(6)
    full = ntkspec.alignment(jac, y, f, method="gram", backend="cpu")
    assert len(full.target) == len(full.residual) == 3
    known = ntkspec.spectrum(jac, method="gram", backend="cpu")
    assert full.target.sum() + full.rest == pytest.approx(1, rel=TOLERANCE)
    assert full.rest > 0.1
    assert full.modes(0.999) is None
    assert full.more_than(0.999) == 3
    assert full.beyond(3) == full.beyond(5) == full.rest
    assert full.beyond(6) == 0
    low, high = full.residual_over_time([1e3, 1 / known.floor, 1e30])
    assert low[0] == pytest.approx(full.residual_rest, rel=1e-3)
    assert (high >= full.residual_rest * (1 - TOLERANCE)).all()
    assert low[2] == 0  # unless the rank says that it is exactly zero, anything up to the floor may be there
    some = ntkspec.alignment(jac, y, f, method="gram", k=2, backend="cpu")
    assert some.target.tolist() == full.target[:2].tolist()
    assert some.rest == pytest.approx(full.rest + full.target[2], rel=TOLERANCE)
    assert some.kernel_target is None
    assert some.angles[1] == 1  # the third eigenvalue is not at hand


def test_a_kernel_of_zeros_has_no_modes():
    found = ntkspec.alignment(rows(np.zeros((3, 2))), [1.0, 2.0, 4.0], [0.0, 0.0, 0.0], backend="cpu")
    assert found.target.shape == found.angles.shape == (0,)
    assert (found.rest, found.residual_rest, found.kernel_target) == (1.0, 1.0, None)
    assert found.modes() is None
    assert found.beyond(2) == 1
    assert [each.tolist() for each in found.residual_over_time([5.0])] == [[1 - TOLERANCE], [1.0]]
    assert "more than 0 of 3 modes" in repr(found)


def test_a_residual_of_zero_is_none():
    found = ntkspec.alignment(rows(np.eye(3)), [1.0, 2.0, 4.0], [1.0, 2.0, 4.0], backend="cpu")
    assert found.residual is None
    assert len(found.target) == 3


@pytest.mark.parametrize("factor", [1e-320, 1e-200, 1.0, 1e200, 1.7e308])
def test_numbers_of_any_size(factor):
    y, f = np.array([1.0, -1.0, 0.5]), np.array([-1.0, 1.0, 0.5])
    found = ntkspec.alignment(rows(np.diag([3.0, 2.0, 1.0])), factor * y, factor * f, backend="cpu")
    assert found.target == pytest.approx(np.array([25, 49, 4]) / 78, rel=1e-3)
    assert found.residual == pytest.approx([0.5, 0.5, 0], rel=1e-3)


@pytest.mark.parametrize(
    ("targets", "got"),
    [
        ([0.1, 0.1, 0.1], "the same at every sample"),
        ([0.0, 0.0, 0.0], "the same at every sample"),
        ([np.nan, 1.0, 2.0], r"nan at \[0\]"),
        ([1.0, 2.0], r"shape \(2,\)"),
        (np.zeros((3, 2)), r"shape \(3, 2\)"),
        (["a", "b", "c"], "real numbers, got <U1"),
        (["1", "2", "3"], "real numbers, got <U1"),
        (np.array([1.0, 2.0, 4.0]) + 1j, "real numbers, got complex128"),
        (np.ma.masked_greater([1.0, 2.0, 4.0], 3), r"masked ones \(1\)"),
        (None, "got None"),
    ],
)
def test_targets_that_cannot_be_aligned(targets, got):
    with pytest.raises(UsageError, match=got):
        ntkspec.alignment(rows(np.eye(3)), targets, backend="cpu")


def test_other_misuse_is_refused():
    jac, y = rows(np.eye(3)), [1.0, 2.0, 4.0]
    with pytest.raises(UsageError, match="outputs of the model"):
        ntkspec.alignment(jac, y, [np.inf, 0.0, 0.0], backend="cpu")
    with pytest.raises(UsageError, match="method gram, svd or lanczos"):
        ntkspec.alignment(jac, y, method="dual", backend="cpu")
    with pytest.raises(UsageError, match="a spectrum with vectors"):
        align(ntkspec.spectrum(jac, backend="cpu"), y, None, jac)
    found = ntkspec.alignment(jac, y, [0.0, 0.0, 0.0], backend="cpu")
    for jacobian in (None, np.eye(3), "run.h5"):
        with pytest.raises(UsageError, match="expected a Jacobian"):
            ntkspec.alignment(jacobian, y)
    for count in (-1, 0.5, "1", None):
        with pytest.raises(UsageError, match="count of modes: expected a whole number"):
            found.beyond(count)
    for times in ("x", [1j]):
        with pytest.raises(UsageError, match="times: expected an array of real numbers"):
            found.residual_over_time(times)
    for share in (0, 1.5, np.nan, "0.9", None, [0.5, 0.9]):
        with pytest.raises(UsageError, match="above 0, up to 1"):
            found.modes(share)
    for times in ([-1.0], [np.inf], [np.nan]):
        with pytest.raises(UsageError, match="finite numbers from 0"):
            found.residual_over_time(times)


def test_lanczos_aligns_the_largest_modes():
    jac = cases.mixed(30)
    y = np.random.default_rng(0).standard_normal((30, 2))
    few = ntkspec.alignment(jac, y, method="lanczos", k=5, backend="cpu")
    all_of_them = ntkspec.alignment(jac, y, method="gram", backend="cpu")
    assert few.target == pytest.approx(all_of_them.target[:5], rel=1e-4)
    assert few.rest == pytest.approx(all_of_them.beyond(5), rel=1e-4)
