"""What activation regions say: of the network its rank, of the stored numbers how small eigenvalues are.

Truth: eigenvalues of the stored numbers in 60 digits, and the network itself evaluated in 80.
"""

from __future__ import annotations

import itertools
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
from ntkspec.jacobian import DenseFactor, Jacobian, PairsFactor, SparseFactor
from ntkspec.spectral import consistency, spectra
from ntkspec.spectral.regions import regions


def relu_network(x, sizes=(6, 6), seed=0):
    """Jacobian blocks and activation patterns of a ReLU network on x (n, d), by explicit loops."""
    rng = np.random.default_rng(seed)
    widths = [x.shape[1], *sizes, 1]
    weights = [rng.standard_normal((b, a)) for a, b in itertools.pairwise(widths)]
    biases = [rng.standard_normal(b) for b in widths[1:]]
    lefts, rights, patterns = [], [], []
    for point in x:
        inputs, actives = [point], []
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            z = w @ inputs[-1] + b
            actives.append(z > 0)
            inputs.append(z * (z > 0))
        gradients = [np.ones(1)]
        for w, active in zip(weights[:0:-1], actives[::-1], strict=True):
            gradients.insert(0, (gradients[0] @ w) * active)
        lefts.append([np.r_[h, 1.0] for h in inputs])
        rights.append(gradients)
        patterns.append(np.concatenate(actives).tobytes())
    regions = np.unique(patterns, return_inverse=True)[1]
    blocks = [
        cases.block(
            f"layer.{k}",
            DenseFactor(np.array([row[k] for row in lefts])[:, None]),
            DenseFactor(np.array([row[k] for row in rights])[:, None]),
            len(x),
            1,
            order=k,
        )
        for k in range(len(sizes) + 1)
    ]
    return Jacobian(tuple(blocks), np.asarray(regions, dtype=np.int64))


def uneven_rows():
    """One sample with a left factor of 1e10 and a right one of 1e-10: all other rows are small beside it."""
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (10, 1))
    x[0] = 1e10
    hidden = rng.standard_normal((10, 12))
    hidden[0] = 0
    hidden[0, 0] = 1e10
    gradient = np.ones((10, 1, 1))
    gradient[0] = 1e-10
    blocks = (
        cases.block("1", DenseFactor(np.c_[x, np.ones(10)][:, None]), DenseFactor(gradient), 10, 1),
        cases.block("2", DenseFactor(hidden[:, None]), DenseFactor(gradient), 10, 1, order=1),
    )
    return Jacobian(blocks, np.r_[0, np.ones(9, dtype=np.int64)])


def exact(jacobian, outputs="trace"):
    """Eigenvalues of the stored numbers, descending, as 60-digit numbers."""
    with mpmath.workdps(60):
        rows = [
            [
                mpmath.mpf(float(a)) * mpmath.mpf(float(b))
                for block in parts
                for a in block[0]
                for b in block[1]
            ]
            for parts in _factors(jacobian, outputs)
        ]
        matrix = mpmath.matrix(rows)
        return sorted(mpmath.eigsy(matrix * matrix.T, eigvals_only=True), reverse=True)


def _factors(jacobian, outputs):
    """For each sample the two vectors of every block, c = 1."""
    assert jacobian.outputs == 1
    for i in range(jacobian.samples):
        yield [
            [factor.to_dense()[i, 0].tolist() for factor in (block.left, block.right)] for block in jacobian
        ]


def holds(jacobian, known):
    """Whether the stored numbers keep to what is said of them."""
    return known.independent == jacobian.samples or exact(jacobian)[known.independent] <= known.rest


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 14), d=st.integers(1, 2), seed=st.integers(0, 999))
def test_the_rank_is_counted_and_the_stored_numbers_are_small_beyond(n, d, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, (n, d))
    jac = relu_network(x, (5,), seed=seed)
    known = regions(jac)
    width = 1 + sum((column != column[0]).any() for column in x.T)
    assert known.at_most == np.minimum(np.bincount(jac.regions), width).sum()
    assert known.independent <= known.at_most
    assert known.rest <= 1e-25 * np.trace(oracles.kernel(jac, "trace"))
    assert holds(jac, known)


def test_the_reason_says_whose_regions_they_are():
    jac = relu_network(np.random.default_rng(0).uniform(-1, 1, (200, 2)), (12, 12))
    count = len(np.unique(jac.regions))
    said = f"{count} activation regions with at most 3 independent rows each"
    assert regions(jac).reason == f"{said}, by the writer's regions"
    assert regions(replace(jac, regions_certain=True)).reason == said
    assert regions(replace(jac, regions=None)) is None


def test_a_networks_rank_stands_beside_the_stored_numbers_and_never_replaces_them():
    jac = relu_network(np.random.default_rng(0).uniform(-1, 1, (200, 2)), (24, 24))
    found = ntkspec.spectrum(jac)
    known = found.regions
    assert found.network_singular
    assert not found.singular
    assert found.rank.at_most == 200
    assert found.lambda_min is None
    assert found.condition is None
    assert found.resolved <= known.independent <= known.at_most < found.size
    assert 0 < found.smallest_at_most <= known.rest < found.floor
    assert (found.upper[known.independent :] <= 2 * known.rest).all()
    assert f"the network's kernel singular: rank <= {known.at_most}" in repr(found)
    assert all(check.holds for check in consistency.of_spectrum("total", found))


def test_the_largest_alone_say_nothing_of_the_smallest():
    jac = relu_network(np.random.default_rng(0).uniform(-1, 1, (300, 2)), (24, 24))
    for method in ("gram", "svd", "lanczos"):
        found = ntkspec.spectrum(jac, method=method, k=3)
        assert found.lambda_min is None
        assert found.smallest_at_most == pytest.approx(found.upper[-1])
        assert found.regions.at_most < 300


def test_regions_that_the_factors_deny_count_by_columns_and_are_named():
    """One region for all samples of a network that has many, or of one that is not piecewise linear."""
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    jac = relu_network(x, (12, 12))
    assert regions(jac).disobeying == ()
    one = regions(replace(jac, regions=np.zeros(40, np.int64)))
    assert one.disobeying == jac.names
    assert one.at_most == one.independent == 40
    smooth = cases.mixed(40).only("network")
    assert regions(replace(smooth, regions=np.zeros(40, np.int64))).independent == 40


def lying_regions(bend, n=10):
    """One region, and a second layer that is affine but for `bend`."""
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (n, 2))
    hidden = np.c_[x @ rng.standard_normal((2, n)) + bend * rng.uniform(-1, 1, (n, n)), np.ones(n)]
    ones = DenseFactor(np.ones((n, 1, 1)))
    blocks = (
        cases.block("1", DenseFactor(np.c_[x, np.ones(n)][:, None]), ones, n, 1),
        cases.block("2", DenseFactor(hidden[:, None]), ones, n, 1, order=1),
    )
    return Jacobian(blocks, np.zeros(n, np.int64))


@pytest.mark.parametrize("bend", [0.0, 1e-15, 5e-13, 1e-12, 1e-6])
def test_no_tolerance_is_called_exact(bend):
    """A foreign network that bends by less than anyone would notice: its eigenvalues are there, and said."""
    jac = lying_regions(bend)
    truth = exact(jac)
    for found in spectra({"total": jac, "second": jac.only("2")}).values():
        assert not found.singular
        assert found.lambda_min != 0
    found = ntkspec.spectrum(jac)
    assert holds(jac, found.regions)
    assert found.smallest_at_most >= truth[-1]
    assert all(low <= value <= high for low, value, high in zip(found.lower, truth, found.upper, strict=True))
    assert all(check.holds for check in consistency.of_spectrum("total", found))
    lower, _ = ntkspec.bounds.certified(jac)
    assert all(check.holds for check in consistency.of_zeros("total", lower, found))
    assert (found.resolved > 3) == (bend > 1e-14)  # floor 1e-15 of lambda_max, squared


def test_a_bound_that_a_proof_denies_fails_its_check():
    jac = cases.mixed(14)
    lower, _ = ntkspec.bounds.certified(jac)
    found = replace(ntkspec.spectrum(jac), regions=ntkspec.spectral.Regions(13, "made up", 13, 1e-30))
    (check,) = consistency.of_zeros("total", lower, found)
    assert not check.holds
    assert [check.name for check in consistency.of_spectrum("total", found) if not check.holds] == ["regions"]


def test_departures_are_measured_row_by_row():
    jac = uneven_rows()
    assert regions(jac).independent == 10
    found = ntkspec.spectrum(jac, k=3)
    assert not found.singular
    assert found.lambda_min is None


def test_powers_of_two_between_the_factors_change_nothing():
    """Not even where the squares of one factor would vanish."""
    jac = relu_network(np.column_stack([np.linspace(-1, 1, 9), 0.3 + 0.1 * np.linspace(-1, 1, 9)]), (6,))
    first, last = jac  # of which the first has the encoding
    left, right = (
        DenseFactor(np.ldexp(side.to_dense(), by)) for side, by in ((last.left, 600), (last.right, -600))
    )
    assert regions(Jacobian((first, replace(last, left=left, right=right)), jac.regions)) == regions(jac)


@pytest.mark.parametrize("right", ["sparse", "absent left"])
def test_what_has_no_vector_for_a_sample_counts_by_its_columns(right):
    rng = np.random.default_rng(0)
    level = SparseFactor(np.array([[0, 1], [1, 2], [0, 1], [1, 2], [0, 2]]), rng.random((5, 1, 2)), 3)
    grid = cases.block("g", level, DenseFactor(np.ones((5, 1, 1))), 5, 1, "grid")
    dense = DenseFactor(rng.random((5, 1, 4)))
    layer = cases.block("w", *((dense, level) if right == "sparse" else (None, dense)), 5, 1, order=1)
    known = regions(Jacobian((grid, layer), np.zeros(5, np.int64)))
    assert known.at_most == 5
    assert holds(Jacobian((grid, layer)), known)


@pytest.mark.parametrize("seed", [0, 1, 3, 5])
def test_samples_on_a_line_are_near_two_directions_a_region(seed):
    """Pixels of one row: the count says three a region, the stored numbers keep to two but for rounding."""
    x = np.column_stack([np.linspace(-1, 1, 9), 0.3 + 0.1 * np.linspace(-1, 1, 9)])
    jac = relu_network(x, (6,), seed=seed)
    counts, known = np.bincount(jac.regions), regions(jac)
    assert known.at_most == np.minimum(counts, 3).sum()
    assert known.independent == np.minimum(counts, 2).sum() < 9
    assert holds(jac, known)
    found = ntkspec.spectrum(jac)
    assert found.smallest_at_most <= known.rest < 1e-26
    x[4, 1] += 1e-3
    moved = relu_network(x, (6,), seed=seed)
    assert regions(moved).independent == known.independent + (counts[jac.regions[4]] > 2)


@pytest.mark.parametrize("samples", [3, 5])
def test_a_small_region_must_obey_too(samples):
    """Fewer samples than the encoding has dimensions, on a line, but a second layer not affine there."""
    rng = np.random.default_rng(5)
    t = np.linspace(0, 1, samples)
    x = np.outer(t, rng.standard_normal(6)) + rng.standard_normal(6)  # a line in six dimensions
    ones = DenseFactor(np.ones((samples, 1, 1)))
    first = cases.block("1", DenseFactor(np.c_[x, np.ones(samples)][:, None]), ones, samples, 1)
    for bend in (0.0, 1e-3):
        hidden = np.c_[t, t + bend * t**2, np.ones(samples)][:, None]
        second = cases.block("2", DenseFactor(hidden), ones, samples, 1, order=1)
        known = regions(Jacobian((first, second), np.zeros(samples, np.int64)))
        assert known.independent == (2 if not bend else min(samples, 2 + 3))
        assert known.at_most == samples


def test_a_region_that_touches_no_node_is_one_like_others():
    """Samples outside of the grid's box: padding alone, or weights of zero."""
    rng = np.random.default_rng(0)
    for left in (
        SparseFactor(np.array([[0, 1], [1, 2], [-1, -1], [-1, -1]]), np.full((4, 1, 2), 0.5), 3),
        SparseFactor(
            np.array([[0, 1], [1, 2], [0, 1], [0, 1]]), np.r_[np.full((2, 1, 2), 0.5), np.zeros((2, 1, 2))], 3
        ),
    ):
        level = cases.block("g", left, DenseFactor(np.ones((4, 1, 2))), 4, 1, "grid")
        layer = cases.block(
            "w", DenseFactor(rng.standard_normal((4, 1, 3))), DenseFactor(np.ones((4, 1, 4))), 4, 1
        )
        for blocks in ((level,), (level, layer), (layer, level)):
            jac = Jacobian(blocks, np.array([0, 0, 1, 1]))
            found = ntkspec.spectrum(jac)
            assert holds(jac, found.regions)
            assert found.rank.at_most == (4 if len(blocks) == 2 else 2)


class Fourier:
    """A ReLU layer behind sines and cosines, exactly: in 80 digits, its own numbers taken as they are."""

    def __init__(self, features, units, seed):
        rng = np.random.default_rng(seed)
        self.frequencies = 0.3 * rng.standard_normal(features)
        self.weights, self.biases, self.last = (
            rng.standard_normal((units, 2 * features)),
            rng.standard_normal(units),
            rng.standard_normal(units),
        )

    def rows(self, x, number, sin, cos):
        """J, and the pattern of each sample, in the arithmetic of `number`."""
        rows, patterns = [], []
        for point in x:
            phases = [number(f) * number(float(point)) for f in self.frequencies]
            encoded = [*map(sin, phases), *map(cos, phases)]
            before = [
                sum((number(w) * e for w, e in zip(weights, encoded, strict=True)), number(float(bias)))
                for weights, bias in zip(self.weights.tolist(), self.biases, strict=True)
            ]
            on = [value > 0 for value in before]
            patterns.append(tuple(on))
            right = [
                number(float(w)) if active else number(0) for w, active in zip(self.last, on, strict=True)
            ]
            hidden = [value if active else number(0) for value, active in zip(before, on, strict=True)]
            rows.append(([*encoded, number(1)], right, [*hidden, number(1)]))
        return rows, patterns

    def jacobian(self, x):
        """As it would be stored."""
        rows, patterns = self.rows(x, float, np.sin, np.cos)
        lefts, rights, lasts = (DenseFactor(np.array([row[k] for row in rows])[:, None]) for k in range(3))
        blocks = (
            cases.block("first", lefts, rights, len(x), 1),
            cases.block("last", lasts, DenseFactor(np.ones((len(x), 1, 1))), len(x), 1, order=1),
        )
        numbers = {pattern: k for k, pattern in enumerate(dict.fromkeys(patterns))}
        return Jacobian(blocks, np.array([numbers[pattern] for pattern in patterns]))


@pytest.mark.parametrize(("features", "n", "seed"), [(1, 14, 0), (1, 14, 1), (4, 14, 2), (8, 12, 3)])
def test_an_honest_network_is_told_its_own_rank(features, n, seed):
    """Behind many features samples are nearly dependent, and not dependent: the kernel has full rank."""
    x = np.random.default_rng(seed).random(n)
    net = Fourier(features, 12, seed)
    with mpmath.workdps(80):
        rows, _ = net.rows(x, mpmath.mpf, mpmath.sin, mpmath.cos)
        matrix = mpmath.matrix([[a * b for a in left for b in right] + last for left, right, last in rows])
        values = sorted(mpmath.eigsy(matrix * matrix.T, eigvals_only=True), reverse=True)
        rank = sum(value > values[0] * mpmath.mpf(10) ** -70 for value in values)
    jac = net.jacobian(x)
    found = ntkspec.spectrum(jac)
    assert rank <= found.regions.at_most
    assert not found.singular
    assert features > 1 or found.regions.at_most < n
    assert holds(jac, found.regions)
    assert all(check.holds for check in consistency.of_spectrum("total", found))
    if found.resolved == n:
        assert values[-1] <= found.upper[-1] + 1e-25  # of the network; stored once rounded


def test_a_grid_counts_region_by_region():
    """Two regions of a constant gradient, each on its own few nodes: 3 + 2 dimensions, not 2 x 5."""
    rng = np.random.default_rng(0)
    indices = np.r_[rng.integers(0, 3, (20, 4)), rng.integers(3, 5, (20, 4))]
    left = SparseFactor(indices, rng.random((40, 1, 4)), 100)
    places = np.repeat([0, 1], 20)
    right = DenseFactor(rng.standard_normal((2, 1, 2))[places])
    jac = Jacobian((cases.block("level", left, right, 40, 1, "grid"),), places)
    found = regions(jac)
    assert found.independent == oracles.numerical_rank(jac) == 5
    assert (found.at_most, found.reason) == (10, "10 nonzero columns of J")  # a table may be read in any way


def test_regions_must_fit_the_samples():
    with pytest.raises(UsageError, match=r"regions of a Jacobian: expected an array \(6,\), got"):
        Jacobian(cases.mixed(6).blocks, np.zeros(5, np.int64))


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(2, 40),
    cells=st.integers(1, 3),
    line=st.booleans(),
    seed=st.integers(0, 999),
)
def test_grids_in_regions_never_have_more_rank_than_is_said(n, cells, line, seed):
    """A bilinear grid behind a ReLU network in two regions, on random samples or on pixels of one row."""
    rng = np.random.default_rng(seed)
    x = rng.random((n, 2))
    if line:
        x[:, 1] = 0.4
    cell = np.minimum((x * cells).astype(int), cells - 1)
    t = x * cells - cell
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    weights = np.prod(np.where(corners == 1, t[:, None], 1 - t[:, None]), axis=2)
    nodes = (cell[:, None] + corners) @ np.array([1, cells + 1])
    table = rng.standard_normal(((cells + 1) ** 2, 2))
    encoding = np.einsum("nk,nkf->nf", weights, table[nodes])
    places = (encoding[:, 0] > 0).astype(np.int64)
    gradient = DenseFactor(rng.standard_normal((2, 1, 3))[places])
    level = SparseFactor(nodes, weights[:, None], (cells + 1) ** 2)
    constant = DenseFactor(rng.standard_normal((2, 1, 2))[places])
    blocks = (
        cases.block("level", level, constant, n, 1, "grid"),
        cases.block("1", DenseFactor(np.c_[encoding, x, np.ones(n)][:, None]), gradient, n, 1, order=1),
    )
    jac = Jacobian(blocks, places)
    found = regions(jac)
    assert oracles.numerical_rank(jac) <= found.independent <= found.at_most <= n
    if n <= 8:
        assert holds(jac, found)
    if cells == 1:
        held = np.bincount(places, minlength=2)
        assert found.independent <= np.minimum(held, 2 if line else 4).sum()


@pytest.mark.parametrize("copies", [2, 16, 64])
def test_what_is_lost_counts_entries_that_collide(copies):
    """Equal entries at one node add up to so many times one; gradients differ by rounding within a region."""
    rng = np.random.default_rng(0)
    n = 6
    left = SparseFactor(
        np.repeat(rng.integers(0, 2, (n, 1)), copies, axis=1), np.full((n, 1, copies), 0.3), 2
    )
    gradient = rng.standard_normal(3) * (1 + 1e-15 * rng.standard_normal((n, 3)))
    jac = Jacobian(
        (cases.block("g", left, DenseFactor(gradient[:, None]), n, 1, "grid"),), np.zeros(n, np.int64)
    )
    known = regions(jac)
    assert known.independent == 2
    assert holds(jac, known)


@pytest.mark.parametrize("outputs", cases.MODES)
def test_what_is_lost_counts_every_output_of_an_absent_right_factor(outputs):
    """An absent factor is all ones, for each of c outputs: the same rows, c times in mode trace."""
    rng = np.random.default_rng(1)
    x = np.outer(rng.random(7), rng.standard_normal(3)) + rng.standard_normal(
        3
    )  # on a line, but for rounding
    first = cases.block("1", DenseFactor(np.c_[x, np.ones(7)][:, None]), None, 7, 2)
    known = regions(Jacobian((first,), np.zeros(7, np.int64)), outputs)
    single = regions(Jacobian((cases.block("1", first.left, None, 7, 1),), np.zeros(7, np.int64)))
    assert known.rest >= (2 if isinstance(outputs, str) else 1) * single.rest * (1 - 1e-6)
    assert known.independent == (4 if outputs == "full" else 2)


def test_rounded_sums_of_weights_are_part_of_what_is_lost():
    """1 + 1998 * 2**-54 adds up to 1 in order: the exact sum is 1e-13 more."""
    entries = np.r_[1.0, np.full(1998, 2.0**-54)]
    left = SparseFactor(np.zeros((3, 1999), int), np.stack([entries, entries[::-1], entries])[:, None], 1)
    jac = Jacobian(
        (cases.block("g", left, DenseFactor(np.ones((3, 1, 1))), 3, 1, "grid"),), np.zeros(3, np.int64)
    )
    assert holds(jac, regions(jac))


@pytest.mark.parametrize("left", [None, DenseFactor(np.ones((4, 1, 1)))])
def test_rounded_sums_over_the_uses_of_a_layer_are_part_of_what_is_lost(left):
    """1e8 + 1 - 1e8 and 1e8 + (1 + 3e-9) - 1e8 round to one number: the exact sums differ."""
    uses = np.zeros((4, 1, 3, 2))
    uses[:, 0, 0], uses[:, 0, 2] = (1e8, 1.0), (-1e8, 0.0)
    uses[:, 0, 1, 0] = 1 + np.array([0, 3e-9, 5e-9, -2e-9])
    layer = cases.block("first", DenseFactor(np.ones((4, 1, 1))), DenseFactor(np.ones((4, 1, 1))), 4, 1)
    used = cases.block("used", left, PairsFactor(np.ones((4, 1, 3, 1)), uses), 4, 1)
    jac = Jacobian((layer, used), np.zeros(4, np.int64))
    known = regions(jac)
    with mpmath.workdps(60):
        kernel = [[mpmath.mpf(x.numerator) / x.denominator for x in row] for row in oracles.exact_kernel(jac)]
        values = sorted(mpmath.eigsy(mpmath.matrix(kernel), eigvals_only=True), reverse=True)
    assert values[known.independent] <= known.rest


@pytest.mark.parametrize("close", [1e-3, 1e-7])
def test_a_trained_encoding_is_not_linear_however_close_the_samples_are(close):
    """Learned frequencies in the role grid: their rows are no linear images of anything, so columns count."""
    rng = np.random.default_rng(0)
    x = 0.4 + close * rng.random(9)
    frequencies, weights = rng.standard_normal(2), rng.standard_normal(2)
    encoded = np.sin(np.outer(x, frequencies))
    gradient = np.cos(np.outer(x, frequencies)) * x[:, None] * weights  # of the frequencies
    blocks = (
        cases.block("0", None, DenseFactor(gradient[:, None]), 9, 1, "grid"),
        cases.block(
            "1",
            DenseFactor(np.c_[encoded, np.ones(9)][:, None]),
            DenseFactor(np.ones((9, 1, 1))),
            9,
            1,
            order=1,
        ),
    )
    known = regions(Jacobian(blocks, np.zeros(9, np.int64)))
    assert known.at_most == 3 + 2
    assert "2 other columns of J" in known.reason


def test_no_bit_depends_on_the_names_of_blocks():
    """Sets of names have another order in every process, and sums in another order have other last bits."""
    jacobian = relu_network(np.random.default_rng(5).random((40, 2)), sizes=(6, 6, 6, 6, 6))
    rests = set()
    for word in range(12):
        blocks = tuple(replace(block, name=f"{word}.{block.name}") for block in jacobian)
        rests.add(regions(Jacobian(blocks, jacobian.regions), "trace").rest)
    assert len(rests) == 1
    assert rests.pop() > 0


def test_the_check_rounds_what_regions_leave_upwards():
    """The page said "at most 3.4e-27" of a limit of 3.41e-27."""
    found = ntkspec.spectrum(relu_network(np.random.default_rng(0).uniform(-1, 1, (200, 2)), (24, 24)))
    limited = replace(found, regions=replace(found.regions, rest=3.41e-27))
    (check,) = (check for check in consistency.of_spectrum("total", limited) if check.name == "regions")
    assert f"eigenvalues beyond {found.regions.independent} are at most 3.5e-27 (" in check.statement
