"""Arguments of other types than asked for are converted as documented, or refused in one line."""

from __future__ import annotations

import cases
import numpy as np
import pytest

import ntkspec
from ntkspec.errors import UsageError
from ntkspec.jacobian import Block, DenseFactor, Jacobian, PairsFactor, SparseFactor
from ntkspec.spectral import bounds

NUMBERS = np.round(10 * np.random.default_rng(0).normal(size=(5, 1, 4)))
INDICES = np.array([[0, 1], [2, 2], [1, 0], [3, 1], [0, 3]])


def of(factor):
    return Jacobian((Block("b", "network", 5, 1, None, factor),))


@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "float16", "longdouble", "object", "list"])
def test_numbers_of_a_factor_are_of_any_real_type(kind):
    """Arrays of int8 ended in NumPy's `ValueError`, lists in an `AttributeError`."""
    values = NUMBERS.tolist() if kind == "list" else NUMBERS.astype(kind)
    if kind == "object":
        with pytest.raises(UsageError, match="values of a DenseFactor: expected an array of real numbers"):
            of(DenseFactor(values))
        return
    jac = of(DenseFactor(values))
    assert jac.dtype == (np.float32 if kind == "float16" else np.float64)
    plain = NUMBERS[:, 0]
    assert np.array_equal(ntkspec.gram(jac), plain @ plain.T)
    found = ntkspec.spectrum(jac, method="svd")
    assert np.allclose(found.eigenvalues[:4], np.linalg.svd(plain)[1] ** 2, rtol=1e-5)


@pytest.mark.parametrize("values", [NUMBERS + 1j, np.ma.masked_greater(NUMBERS, 5), NUMBERS.astype(str)])
def test_numbers_that_would_lose_something_are_refused(values):
    """Imaginary parts and masks were dropped, or ended in a traceback."""
    for make in (DenseFactor, lambda array: PairsFactor(NUMBERS[:, :, None], array[:, :, None])):
        with pytest.raises(UsageError, match=r"expected (an array of real numbers|numbers without a mask)"):
            make(values)


@pytest.mark.parametrize("indices", [INDICES + 0.5, INDICES.astype(float), INDICES > 1, None])
def test_indices_that_are_no_integers_are_refused(indices):
    """1.5 was read as 1."""
    with pytest.raises(UsageError, match="indices of a SparseFactor: expected an array of"):
        SparseFactor(indices, np.ones((5, 1, 2)), 4)
    small = of(SparseFactor(INDICES.astype(np.uint8), np.ones((5, 1, 2)), 4))
    assert np.array_equal(small.to_dense(), of(SparseFactor(INDICES, np.ones((5, 1, 2)), 4)).to_dense())


@pytest.mark.parametrize("columns", [3, 2])
def test_indices_beyond_the_columns_are_not_renumbered_into_them(columns):
    with pytest.raises(UsageError, match=f"indices from 0 to {columns - 1}, or -1 for padding, got 0 to 3"):
        ntkspec.spectrum(of(SparseFactor(INDICES, np.ones((5, 1, 2)), columns)))


def rows(*shape):
    return np.arange(5 * np.prod(shape, dtype=int)).reshape(5, *shape)


WRONG_AXES = {  # what is made -> what the message says
    "a single number": (lambda: DenseFactor(1.0), "values of a DenseFactor: expected an array (n, c, width)"),
    "a vector": (lambda: DenseFactor(rows()), "(n, c, width), got shape (5,)"),
    "a matrix of each output": (lambda: DenseFactor(rows(1, 2, 3)), "got shape (5, 1, 2, 3)"),
    "indices without entries": (lambda: SparseFactor(rows(), rows(1, 2), 9), "indices of a SparseFactor"),
    "indices of each output": (lambda: SparseFactor(rows(1, 2), rows(1, 2), 9), "an array (n, k), got shape"),
    "more values": (lambda: SparseFactor(rows(2), rows(1, 3), 9), "(5, c, 2), got shape (5, 1, 3)"),
    "fewer samples": (lambda: SparseFactor(rows(2)[:4], rows(1, 2), 9), "(4, c, 2), got shape (5, 1, 2)"),
    "no columns": (lambda: SparseFactor(rows(2), rows(1, 2), 0), "columns of a SparseFactor: expected"),
    "half a column": (lambda: SparseFactor(rows(2), rows(1, 2), 9.5), "from 1 to 2^63 - 1, got 9.5"),
    "columns in words": (lambda: SparseFactor(rows(2), rows(1, 2), "9"), "got '9'"),
    "left of each output": (lambda: PairsFactor(rows(2, 3, 4), rows(2, 3, 4)), "left of a PairsFactor"),
    "other uses": (lambda: PairsFactor(rows(1, 2, 4), rows(1, 3, 4)), "(5, c, 2, b), got shape (5, 1, 3, 4)"),
    "no uses": (lambda: PairsFactor(rows(1, 4), rows(1)), "right of a PairsFactor: expected"),
    "an array": (lambda: Block("b", "network", 5, 1, None, rows(1, 4)), "ntkspec.DenseFactor(array)"),
    "an array on the left": (lambda: Block("b", "network", 5, 1, rows(4), None), "expected a left factor"),
    "half the samples": (lambda: Block("b", "network", 2.5, 1, None, DenseFactor(rows(4))), "samples: "),
    "a block alone": (lambda: Jacobian(of(DenseFactor(NUMBERS))["b"]), "(block,)"),
    "an array of blocks": (lambda: Jacobian(NUMBERS), "expected a tuple of blocks"),
    "no blocks": (lambda: Jacobian(None), "expected a tuple of blocks, each an ntkspec.Block, got None"),
    "half a region": (lambda: Jacobian(of(DenseFactor(rows(4))).blocks, rows() / 2), "an array of integers"),
    "a region for all": (lambda: Jacobian(of(DenseFactor(rows(4))).blocks, 3), "an array (5,), got shape ()"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_AXES)
def test_factors_and_blocks_of_other_shapes_are_refused(name):
    """They were accepted, and ended in errors of NumPy when they were shown or multiplied."""
    make, words = WRONG_AXES[name]
    with pytest.raises(UsageError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_output_needs_no_axis():
    """As left factors have none, and a model with one number for each sample."""
    assert DenseFactor(rows(3)).to_dense().shape == (5, 1, 3)
    assert SparseFactor(INDICES, rows(2), 4).to_dense().shape == (5, 1, 4)
    assert PairsFactor(rows(2, 3), rows(2, 4)).to_dense().shape == (5, 1, 12)
    with pytest.raises(
        UsageError, match="expected a right factor of 5 samples, 3 outputs, got 5 samples, 1 output"
    ):
        Block("b", "network", 5, 3, None, DenseFactor(rows(3)))  # three outputs of one parameter were meant


def test_blocks_and_regions_may_be_lists():
    blocks = of(DenseFactor(NUMBERS)).blocks
    for given in ([*blocks], iter(blocks)):
        jac = Jacobian(given, regions=[4, 4, 2, 2, 2])
        assert jac.rows([4, 0]).regions.tolist() == [2, 4]
        assert np.array_equal(ntkspec.gram(jac), ntkspec.gram(Jacobian(blocks)))


@pytest.mark.parametrize("outputs", [np.array([0, 1]), [0], None, True, 1.0, 2, -1, "tracé"])
def test_output_modes_that_are_none(outputs):
    for call in (ntkspec.gram, ntkspec.spectrum, ntkspec.operator, bounds.schur_product):
        with pytest.raises(UsageError, match="'trace', 'full' or an output number from 0 to 1"):
            call(cases.mixed(4), outputs)


@pytest.mark.parametrize("jacobian", [None, "run.h5", np.eye(3)])
def test_what_is_no_jacobian(jacobian):
    jac = cases.mixed(4)
    calls = (
        lambda: ntkspec.gram(jacobian),
        lambda: ntkspec.spectrum(jacobian),
        lambda: ntkspec.operator(jacobian),
        lambda: bounds.certified(jacobian),
        lambda: ntkspec.gram_by_block(jacobian),
        lambda: ntkspec.kernel_distance(jac, jacobian),
        lambda: ntkspec.kernel_distance(jacobian, jac),
    )
    for call in calls:
        with pytest.raises(UsageError, match="expected a Jacobian, such as run"):
            call()


@pytest.mark.parametrize("backend", [None, True, "cuda", np.zeros(2)])
def test_what_is_no_backend(backend):
    with pytest.raises(UsageError, match="backend: expected one of auto, cpu, gpu"):
        ntkspec.gram(cases.mixed(4), backend=backend)


@pytest.mark.parametrize("method", ["auto", "gram", "svd", "lanczos"])
def test_a_whole_number_of_eigenvalues_may_be_a_float(method, tmp_path):
    found = ntkspec.spectrum(cases.mixed(9), method=method, k=3.0)
    assert len(found) == 3
    path = tmp_path / "run.h5"
    ntkspec.write_run(path, NUMBERS[:, 0], NUMBERS[:, 0, 0], {"w": NUMBERS[:, 0]})
    report = ntkspec.analyze_runs(path, method=method, k=3.0)
    assert len(report.runs[0].snapshots[0].spectra["total"]) == 3
    for k in (2.5, True, "3"):
        with pytest.raises(UsageError, match="k: expected a whole number"):
            ntkspec.spectrum(cases.mixed(9), method=method, k=k)
    with pytest.raises(UsageError, match="method: expected one of"):
        ntkspec.spectrum(cases.mixed(9), method=[method])


def test_the_size_of_a_whole_kernel_may_be_a_float():
    part = ntkspec.spectrum(cases.mixed(4))
    assert np.array_equal(bounds.cauchy_lower(part, 6.0).values, bounds.cauchy_lower(part, 6).values)
    for size in (3, 6.5, "6", None):
        with pytest.raises(UsageError, match="size of the whole kernel: expected a whole number from 4"):
            bounds.cauchy_upper(part, size)


def test_bounds_say_whether_they_are_of_a_spectrum_or_of_an_enclosure():
    jac = cases.mixed(6)
    spectrum, enclosure = ntkspec.spectrum(jac), bounds.form(jac)
    for wrong in (jac, enclosure, spectrum.eigenvalues, None):
        for call in (
            bounds.theorem1,
            lambda it: bounds.weyl_lower(spectrum, it),
            lambda it: bounds.weyl_upper(a=it, b=spectrum),
            lambda it: bounds.cauchy_upper(it, 9),
            lambda it: bounds.ostrowski_lower(it, 0.5),
            bounds.theorem1(spectrum).holds,
            bounds.theorem1(spectrum).tightness,
        ):
            with pytest.raises(UsageError, match=r"expected a spectrum, as ntkspec.spectrum"):
                call(wrong)
    for wrong in (jac, ntkspec.gram(jac), spectrum, None):
        for call in (bounds.gershgorin_lower, bounds.trace_upper, bounds.certified_lower, bounds.positivity):
            with pytest.raises(UsageError, match=r"enclosure, as ntkspec.bounds.form") as caught:
                call(wrong)
            assert "\n" not in str(caught.value)


def test_a_vector_of_a_certified_bound_has_real_numbers():
    """The imaginary part was dropped, a mask ended in a traceback."""
    jac = cases.mixed(4)
    assert bounds.certified_upper(jac, [1, 1, 1, 1]).values == bounds.certified_upper(jac, np.ones(4)).values
    for vector in (np.ones(4) + 1j, np.ma.masked_greater(np.arange(4.0), 2), ["a"] * 4, None):
        with pytest.raises(UsageError, match="vector: expected"):
            bounds.certified_upper(jac, vector)


def test_rates_are_a_mapping():
    for rates in (3, None, ["grid"], "grid"):
        with pytest.raises(
            UsageError, match="rates: expected a mapping of blocks or roles to learning rates"
        ):
            cases.mixed(4).scaled(rates)


def test_selections_are_words():
    jac = cases.mixed()
    for words in (["grid"], {"grid": 1}, None, 0):
        for call in (jac.only, jac.without):
            with pytest.raises(UsageError, match="block selection: expected a role"):
                call(words)


def test_messages_about_arrays_are_one_line():
    wrong, spectrum = np.zeros((3, 3)), ntkspec.spectrum(cases.mixed(4))
    for call in (
        lambda: cases.mixed(4).scaled({"grid": wrong}),
        lambda: bounds.ostrowski_upper(spectrum, wrong),
        lambda: bounds.cauchy_lower(spectrum, wrong),
        lambda: cases.mixed(4)[str(wrong)],
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [None, 3, b"run.h5", ["run.h5"], ""])
def test_what_is_no_path(path):
    for call in (
        lambda: ntkspec.write_run(path, NUMBERS[:, 0], NUMBERS[:, 0, 0], {"w": NUMBERS[:, 0]}),
        lambda: ntkspec.write_kernels(path, {"total": cases.mixed(4)}),
        lambda: ntkspec.read_report(path),
    ):
        with pytest.raises(UsageError, match=r"^path: expected the path of a file"):
            call()
    with pytest.raises(UsageError, match="path: expected the path of a file"):
        ntkspec.open_run(path)
    with pytest.raises(UsageError, match="path: expected the path of a file"):
        ntkspec.analyze_runs([path])
    if not isinstance(path, list):
        with pytest.raises(UsageError, match="path: expected the path of a file"):
            ntkspec.analyze_runs(path)


def test_kernels_of_a_file_have_names(tmp_path):
    jac = cases.mixed(4)
    for parts in (jac, [jac], None):
        with pytest.raises(UsageError, match=r"kernels: expected a mapping .*; e\.g\. {'total': jac}"):
            ntkspec.write_kernels(tmp_path / "kernels.h5", parts)


def test_a_mode_may_stand_alone():
    jac = cases.mixed(4)
    found = ntkspec.spectrum(jac, vectors=True)
    several = ntkspec.eigenfunctions(found, jac, modes=[2])
    for mode in (2, 2.0, np.int64(2), np.array(2), (2,), np.array([2])):
        alone = ntkspec.eigenfunctions(found, jac, modes=mode)
        assert alone.modes == (2,)
        assert np.array_equal(alone.values, several.values)
    for modes in (None, 0, 1.5, True, "2", [None]):
        with pytest.raises(UsageError, match="mode: expected a whole number from 1"):
            ntkspec.eigenfunctions(found, jac, modes=modes)


@pytest.mark.parametrize("k", [0, -1, 0.5, "3", None])
def test_the_largest_of_a_spectrum_are_a_whole_number(k):
    with pytest.raises(UsageError, match="k: expected a whole number from 1"):
        ntkspec.spectrum(cases.mixed(4)).largest(k)


def test_arguments_of_an_analysis(tmp_path):
    path = tmp_path / "run.h5"
    ntkspec.write_run(path, NUMBERS[:, 0], NUMBERS[:, 0, 0], {"w": NUMBERS[:, 0]})
    for options, words in (
        ({"backend": None}, "backend: expected one of auto, cpu, gpu, got None"),
        ({"baseline": 0}, "baseline: expected one of run, got 0"),
        ({"baseline": ["run"]}, "baseline: expected one of run, got"),
        ({"everywhere": None}, "path: expected the path of a file, got None"),
        ({"kernels": 3}, "path: expected the path of a folder, got 3"),
        ({"progress": 5}, "progress: expected a function, got 5; give one, such as print"),
        ({"detail": "x"}, "detail: expected a function"),
        ({"method": ["gram"]}, "method: expected one of"),
        ({"precision": NUMBERS[:, 0, 0]}, "precision: expected one of"),
    ):
        with pytest.raises(UsageError, match=words):
            ntkspec.analyze_runs(path, **options)
    with pytest.raises(ntkspec.NtkspecError, match=r"all\.h5: expected a run file, got no such file"):
        ntkspec.analyze_runs(path, everywhere=tmp_path / "all.h5")
    with pytest.raises(UsageError, match="path: expected the path of a folder, got None"):
        ntkspec.analyze_runs(path).write(None)


def test_names_of_kernels_in_a_file_are_strings(tmp_path):
    for name in (3, None, ""):
        with pytest.raises(UsageError, match="names of kernels"):
            ntkspec.write_kernels(tmp_path / "kernels.h5", {name: cases.mixed(4)})
    assert not list(tmp_path.iterdir())


def test_a_bound_without_its_argument_is_named():
    with pytest.raises(TypeError, match=r"theorem1\(\): missing a required argument: 'kept'"):
        ntkspec.bounds.theorem1()


def test_arguments_of_what_is_written(tmp_path):
    path, given = tmp_path / "run.h5", (NUMBERS[:, 0], NUMBERS[:, 0, 0], {"w": NUMBERS[:, 0]})
    for wrong in (np.zeros(3), [5], 0, "x"):
        with pytest.raises(UsageError, match="metrics: expected a mapping"):
            ntkspec.write_run(path, *given, metrics=wrong)
        with pytest.raises(UsageError, match="config: expected a mapping"):
            ntkspec.write_run(path, *given, config=wrong)
    with pytest.raises(UsageError, match="progress: expected a function"):
        ntkspec.write_kernels(path, {"total": cases.mixed(4)}, progress=5)
    assert not list(tmp_path.iterdir())
