"""Eigenvectors as functions: Nystroem's extension against its definition, and how fine a picture is."""

from __future__ import annotations

from dataclasses import replace

import cases
import numpy as np
import oracles
import pytest

import ntkspec
from ntkspec.errors import MemoryBudgetError, UsageError
from ntkspec.kernel.assembly import Assembly
from ntkspec.kernel.problem import Kernel
from ntkspec.spectral.eigenfunctions import MODES, MOST_ERROR
from ntkspec.spectral.frequency import PixelGrid


def by_definition(spectrum, jac, at, mode, outputs):
    """phi(x) = sum_j K(x, x_j) v(x_j) / lambda, entry by entry; its sign from the samples."""
    between = oracles.kernel(at, outputs, jac)
    vector, eigenvalue = spectrum.vectors[:, mode - 1], spectrum.eigenvalues[mode - 1]
    largest = max(vector, key=abs)
    found = [
        sum(k * v for k, v in zip(row, vector, strict=True)) * np.sign(largest) / eigenvalue
        for row in between
    ]
    return np.array(found)


@pytest.mark.parametrize("outputs", cases.MODES)
def test_against_the_definition(outputs, backend):
    jac, at = cases.mixed(9), cases.mixed(14, seed=3)
    spectrum = ntkspec.spectrum(jac, outputs, vectors=True)
    found = ntkspec.eigenfunctions(spectrum, jac, at, [8, 1, 3], outputs, backend=backend)
    assert found.modes == (1, 3, 8)
    assert np.array_equal(found.eigenvalues, spectrum.eigenvalues[[0, 2, 7]])
    assert not found.left_out
    for mode, values in zip(found.modes, found.values.T, strict=True):
        expected = by_definition(spectrum, jac, at, mode, outputs)
        assert np.allclose(values, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("method", ["gram", "svd"])
def test_at_the_samples_it_is_the_eigenvector_within_the_stated_error(method):
    jac = cases.prescribed(10.0 ** -np.arange(20), 40)
    spectrum = ntkspec.spectrum(jac, method=method, vectors=True)
    own = ntkspec.eigenfunctions(spectrum, jac, modes=range(1, 21))
    assert not own.error.any()
    assert own.modes == tuple(range(1, spectrum.resolved + 1))
    assert np.array_equal(np.abs(own.values), np.abs(spectrum.vectors[:, : spectrum.resolved]))
    assert all(max(vector, key=abs) > 0 for vector in own.values.T)
    extended = ntkspec.eigenfunctions(spectrum, jac, jac, range(1, 21))
    off = np.linalg.norm(extended.values - own.values[:, : len(extended.modes)], axis=0)
    assert (off <= extended.error).all()
    assert (extended.error <= MOST_ERROR).all()
    assert extended.error[-1] > 1e-4  # and no more modes are left out than that share asks for
    assert 10 <= len(extended.modes) <= 14
    assert set(extended.left_out) == {*range(len(extended.modes) + 1, 21)}
    assert "rounding may change" in extended.left_out[len(extended.modes) + 1]
    if method == "gram":
        assert extended.left_out[20] == "its eigenvalue is not resolved"


def test_what_cannot_be_shown_is_left_out_and_said():
    jac = cases.mixed(9)
    few = ntkspec.eigenfunctions(ntkspec.spectrum(jac, k=3, vectors=True), jac)
    assert (few.modes, few.values.shape) == ((1, 2, 3), (9, 3))
    assert few.left_out == dict.fromkeys(MODES[3:], "its eigenvalue was not computed")
    none = ntkspec.eigenfunctions(ntkspec.spectrum(jac, vectors=True), jac, cases.mixed(4), [256])
    assert (none.modes, none.values.shape, none.error.shape) == ((), (4, 0), (0,))


def test_neither_the_budget_nor_the_tiles_change_more_than_rounding():
    """Tiles at work fit a budget into which the kernel between the points and the samples does not."""
    jac, at = cases.mixed(200), cases.mixed(3000, seed=1)
    spectrum = ntkspec.spectrum(jac, vectors=True)
    whole = ntkspec.eigenfunctions(spectrum, jac, at, backend="cpu")
    between = Kernel(at, jac)
    memory = 0.5 * between.nbytes / 2**30
    small = replace(between, budget=int(memory * 2**30))
    assert Assembly.from_kernel(small, targets_given=True).tiling.panel < 3000
    tight = ntkspec.eigenfunctions(spectrum, jac, at, backend="cpu", memory=memory)
    scale = np.abs(whole.values).max(axis=0)
    assert (np.abs(whole.values - tight.values) <= whole.error * scale).all()
    assert np.array_equal(whole.values, ntkspec.eigenfunctions(spectrum, jac, at, backend="cpu").values)
    with pytest.raises(MemoryBudgetError):
        ntkspec.eigenfunctions(spectrum, jac, at, memory=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spectrum": ntkspec.spectrum(cases.mixed(9))}, "a spectrum with eigenvectors, got one without"),
        ({"spectrum": ntkspec.spectrum(cases.mixed(8), vectors=True)}, "kernel of 9 rows, got one of 8"),
        ({"spectrum": None}, "expected a spectrum, as ntkspec.spectrum"),
        ({"at": "run.h5"}, "expected a Jacobian"),
        ({"outputs": 0}, "trace .*, got that of another output mode or Jacobian"),
        ({"outputs": 1, "at": cases.mixed(4)}, "trace .*, got that of another output mode or Jacobian"),
        ({"jacobian": cases.mixed(9).scaled({"grid": 2.0})}, "another output mode or Jacobian"),
        ({"jacobian": cases.mixed(9).without("grid")}, "the spectrum of blocks"),
        ({"at": cases.mixed(4).without("grid")}, "the parameters of its rows"),
        ({"modes": [0]}, "mode: expected a whole number from 1"),
    ],
)
def test_refusals(change, said):
    given = {"spectrum": ntkspec.spectrum(cases.mixed(9), vectors=True), "jacobian": cases.mixed(9)}
    with pytest.raises(UsageError, match=said):
        ntkspec.eigenfunctions(**given | change)


def test_an_overflow_is_seen():
    jac = cases.prescribed(np.full(3, 1e100), 3)
    huge = ntkspec.Jacobian((replace(jac.blocks[0], right=ntkspec.DenseFactor(np.full((3, 1, 3), 1e308))),))
    with pytest.raises(UsageError, match="an overflow"):
        ntkspec.eigenfunctions(ntkspec.spectrum(jac, vectors=True), jac, huge)


def pixels(height, width):
    """Coordinates x and y at the centres of pixels, both (height, width)."""
    return np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)


@pytest.mark.parametrize(("height", "width"), [(40, 40), (24, 64)])
def test_frequencies_of_pure_waves(height, width):
    x, y = pixels(height, width)
    two_pi = 2 * np.pi
    for wave, cycles in (
        (np.cos(two_pi * 5 * x), 5),
        (np.cos(two_pi * 5 * y), 5),
        (np.cos(np.pi * x), 0.5),
        (np.cos(two_pi * 3 * x) * np.cos(two_pi * 4 * y), 5),
        (7 - 1e-6 * np.cos(two_pi * 2 * x), 2),
        (np.cos(two_pi * 2 * x) + np.cos(two_pi * 6 * y), 4),  # equal powers
        (2 * np.cos(two_pi * 2 * x) + np.cos(two_pi * 7 * y), 3),  # 4 to 1
    ):
        assert ntkspec.radial_frequency(wave) == pytest.approx(cycles, rel=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e170, 1.7e308])
def test_a_frequency_does_not_depend_on_how_large_the_numbers_are(size):
    wave = np.tile(np.cos(2 * np.pi * 3 * np.arange(32) / 32), (32, 1))
    assert ntkspec.radial_frequency(size * wave) == pytest.approx(ntkspec.radial_frequency(wave))


def test_frequencies_against_the_transform_of_the_mirrored_picture():
    picture = np.random.default_rng(0).standard_normal((6, 9))
    mirrored = np.block([[picture, picture[:, ::-1]], [picture[::-1], picture[::-1, ::-1]]])
    power = np.abs(np.fft.fft2(mirrored - mirrored.mean())) ** 2
    cycles = np.hypot(np.fft.fftfreq(12)[:, None] * 6, np.fft.fftfreq(18) * 9)
    expected = (power * cycles).sum() / power.sum()
    assert ntkspec.radial_frequency(picture) == pytest.approx(expected)


def test_a_ramp_does_not_jump_at_the_border():
    coarse, fine = (ntkspec.radial_frequency(pixels(4, width)[0]) for width in (32, 256))
    assert 0.5 < fine < 0.53
    assert coarse == pytest.approx(fine, rel=1e-2)


def test_what_has_no_frequency():
    assert ntkspec.radial_frequency(np.full((3, 5), 0.1)) is None
    assert ntkspec.radial_frequency(np.zeros((1, 1))) is None
    text, masked = np.full((2, 2), "1.0"), np.ma.masked_greater(np.eye(2), 0.5)
    for bad in (np.zeros(3), np.zeros((0, 3)), np.full((2, 2), np.nan), np.eye(2) * 1j, text, masked, None):
        with pytest.raises(UsageError, match="picture: expected"):
            ntkspec.radial_frequency(bad)


def test_pixels_are_known_in_any_order_and_scattered_points_are_none():
    x, y = pixels(3, 4)
    points = np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)
    order = np.random.default_rng(0).permutation(12)
    grid = PixelGrid.from_points(points[order])
    assert grid.shape == (3, 4)
    assert np.array_equal(grid.picture(np.arange(12.0)[order]), np.arange(12.0).reshape(3, 4))
    bent = points.copy()
    bent[bent == bent.max()] += 0.1
    twice = np.concatenate([points[:11], points[:1]])
    scattered = np.random.default_rng(1).random((12, 2))
    for other in (points[:11], twice, bent, scattered, points[:, :1], np.hstack([points, points])):
        assert PixelGrid.from_points(other) is None
