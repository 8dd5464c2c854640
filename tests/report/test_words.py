"""Numbers in words: rounded to the safe side, never invented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ntkspec.report import words
from ntkspec.report.names import at_step, clean
from ntkspec.report.page_texts import setting
from ntkspec.report.records import NO_TARGETS, NOT_ASKED, Comparison, Qualifier, Report
from ntkspec.report.style import of_kind, stages, styled_runs
from ntkspec.report.summary import comparison_table, notes, singular_baseline
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.record import Bound
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.rank import Rank

from . import samples

positive = st.floats(min_value=1e-300, max_value=1e300)


@given(positive)
def test_bounds_round_to_the_safe_side(value: float) -> None:
    up, down = float(words.sci_up(value)), float(words.sci_down(value))
    assert down <= value <= up
    assert up <= down * 1.1 * (1 + 1e-9)


@given(st.floats(min_value=-300, max_value=300), st.sampled_from(["=", ">=", "<="]))
@example(1.99999, ">=")
@example(2.00001, "<=")
def test_decades_round_to_the_safe_side(value: float, qualifier: Qualifier) -> None:
    sign, shown = words.decades(Comparison("total", "end", "a", "b", value, qualifier)).split()
    assert sign == qualifier
    assert shown != "-0.0"
    if sign == ">=":
        assert float(shown) <= value + 1e-8
    if sign == "<=":
        assert float(shown) >= value - 1e-8
    assert abs(float(shown) - value) < 0.1 + 1e-8


@pytest.mark.parametrize("qualifier", [">=", "<="])
def test_decades_of_one_digit_keep_it(qualifier: Qualifier) -> None:
    """Also those whose tenfold is no whole number in binary."""
    for tenths in range(-99, 100):
        said = words.decades(Comparison("total", "end", "a", "b", tenths / 10, qualifier))
        assert said == f"{qualifier} {tenths / 10:.1f}"


def test_lambda_min_is_a_number_a_bound_or_not_computed() -> None:
    full = samples.spectrum(np.array([4.0, 2.0, 1.0]), 1e-12)
    noisy = samples.spectrum(np.array([4.0, 2.0, 0.0]), 3.14e-12)
    top = samples.spectrum(np.array([4.0, 2.0]), 1e-12, size=50)
    deep = samples.spectrum(np.array([4.0, 0.0]), 1e-12, size=50)
    assert words.lambda_min(full) == "1.0e+00"
    assert words.lambda_min(noisy) == "unresolved (<= 3.2e-12)"
    assert words.lambda_min(top) == "not computed"
    assert words.condition(top) == "not computed"
    assert words.lambda_min(deep) == "unresolved (<= 1.0e-12)"  # the second of 50 already is
    assert words.condition(noisy) == ">= 1.2e+12"
    assert words.resolved(top) == "2 of 2 (top)"


def test_a_largest_eigenvalue_that_is_hardly_resolved_comes_with_its_error() -> None:
    sure = samples.spectrum(np.array([4.0, 0.0]), 1.0)
    hardly = replace(sure, error=np.array([2.0, 1.0]))
    assert words.lambda_max(hardly) == "4.0e+00 +- 2.0e+00"
    assert words.condition(hardly) == ">= 2.0e+00"


def test_nothing_resolved_has_no_numbers() -> None:
    empty = samples.spectrum(np.zeros(5), 1e-3)
    zero = samples.spectrum(np.zeros(5), 0.0)
    assert words.lambda_max(empty) == "unresolved (<= 1.0e-03)"
    assert words.condition(empty) == "unresolved"
    assert words.lambda_min(zero) == words.lambda_max(zero) == "0 (no gradient)"
    assert words.condition(zero) == "-"


def test_incomplete_spectra_have_decades_not_computed(report: Report) -> None:
    top = samples.spectrum(np.array([4.0, 2.0]), 1e-12, size=64, method="lanczos")
    end = replace(report.runs[-1].snapshots[-1], spectra={"total": top}, bounds=())
    run = replace(report.runs[-1], snapshots=(end,))
    comparison = Comparison("total", "end", run.label, "Baseline", None, "unresolved")
    table = comparison_table(replace(report, runs=(report.runs[0], run), comparisons=(comparison,)))
    assert [row.decades for row in table.rows] == ["reference", "not computed"]
    assert [row.course for row in table.rows] == [("reference",), ("not computed",)]
    assert table.rows[1].lambda_min == "not computed"


def test_bound_lines(report: Report) -> None:
    snapshot = report.runs[-1].snapshots[-1]
    lines = [words.bound(checked, snapshot.spectra["total"]) for checked in snapshot.bounds]
    assert lines[0] == "Theorem 1 holds for all 64 eigenvalues; says nothing about lambda_min (vacuous)"
    assert "lambda_min >= " in lines[1]
    assert "lambda_min <= " in lines[2]


def test_clean_makes_one_printable_line() -> None:
    assert clean("a\x1b[31m\nb\x00") == "a\N{REPLACEMENT CHARACTER}[31m b\N{REPLACEMENT CHARACTER}"
    assert len(clean("x" * 500, 40)) == 40


def test_runs_are_told_apart_and_ordered(report: Report) -> None:
    runs = styled_runs(report)
    assert [run.name for run in runs] == [
        "Baseline", "FFE (low)", "FFE (medium)", "FFE (high)", "MPE (coarse)", "MPE (fine)",
    ]  # fmt: skip
    assert [len(of_kind(runs, kind)) for kind in ("baseline", "ffe", "mpe", "other")] == [1, 3, 2, 0]
    assert len({run.colour for run in runs}) == 6


def test_runs_are_ordered_by_what_their_configs_say() -> None:
    """The configs that `ntkspec.train` writes: every option of every encoding is there."""
    rest = {"sigma": 5.0, "octaves": 6, "levels": 6, "base": 4}
    encodings: list[dict[str, object]] = [
        {**rest, "kind": "multigrid", "finest": 192},
        {**rest, "kind": "multigrid"},  # 4 * 2^5 = 128
        {**rest, "kind": "axis", "octaves": 7},  # 32 cycles
        {**rest, "kind": "gaussian", "sigma": 16.0},
        {**rest, "kind": "identity"},
    ]
    runs = [samples.plain_run(f"run {i}", 9, 0.5, size=4, encoding=e) for i, e in enumerate(encodings)]
    shown = styled_runs(Report("", "", "cpu", tuple(runs)))
    assert [run.index for run in shown] == [4, 3, 2, 1, 0]
    assert [run.kind for run in shown] == ["baseline", "ffe", "ffe", "mpe", "mpe"]


def test_runs_without_a_config_are_told_by_their_spectra() -> None:
    report = Report("", "", "cpu", (samples.plain_run("a", 9, 0.5), samples.grid_run("b", 7, 0.5)))
    assert [run.kind for run in styled_runs(report)] == ["mpe", "other"]


@pytest.mark.parametrize("config", [{"encoding": 3}, {"encoding": {"kind": None}}, {"preset": ["x"]}])
def test_odd_configs_are_harmless(config: dict[str, object]) -> None:
    run = samples.plain_run("odd", 9, 0.5, size=4, **config)
    assert styled_runs(samples.one_run(run))[0].kind == "other"


def test_stages_without_the_usual_labels() -> None:
    run = samples.plain_run("a", 9, 0.5, size=4)
    renamed = replace(run, snapshots=tuple(replace(snap, label="") for snap in run.snapshots))
    assert [(stage, snap.step) for stage, snap in stages(renamed).items()] == [
        ("init", 0), ("mid", 750), ("end", 1500),
    ]  # fmt: skip
    alone = replace(run, snapshots=run.snapshots[:1])
    assert list(stages(alone)) == ["end"]


def test_the_middle_of_training_is_the_snapshot_nearest_to_half_of_it() -> None:
    run = samples.plain_run("a", 9, 0.5, size=4)
    first, _, last = run.snapshots
    geometric = [replace(first, id=f"s{step}", label=f"step {step}", step=step) for step in (1, 10, 700)]
    run = replace(run, snapshots=(first, *geometric, last))
    assert stages(run)["mid"].step == 700


def test_the_introduction_explains_the_words_in_names_alone() -> None:
    named = samples.one_run(samples.plain_run("MPE fine", 9, 0.5, size=4, preset="mpe-fine"))
    other = samples.one_run(samples.plain_run("gated", 9, 0.5, size=4, preset="mpe-fine"))
    assert "MPE: multigrid" in " ".join(setting(named))
    assert "MPE" not in " ".join(setting(other))


def test_a_name_that_says_its_step_is_not_followed_by_it() -> None:
    assert [at_step("step 100", 100), at_step("end", 300), at_step("at 3", 30)] == [
        "step 100", "end, step 300", "at 3, step 30",
    ]  # fmt: skip


def test_an_exact_zero_has_no_ratio_and_a_note_says_why(report: Report) -> None:
    spectrum = report.runs[0].snapshots[-1].spectra["total"]
    rank = Rank(spectrum.resolved, "so many nonzero columns of J")
    zero = replace(spectrum, rank=rank)
    end = replace(report.runs[0].snapshots[-1], spectra={"total": zero})
    singular = replace(report.runs[0], snapshots=(*report.runs[0].snapshots[:-1], end))
    found = replace(report, runs=(singular, *report.runs[1:]))
    table = comparison_table(found)
    assert {row.decades for row in table.rows[1:]} == {"-"}
    assert not table.compared
    assert (
        singular_baseline(found) == "lambda_min of Baseline is exactly zero (end): there is no ratio to it."
    )
    assert comparison_table(report).compared
    assert singular_baseline(report) == ""


def test_what_is_warned_of_every_run_is_said_once() -> None:
    one, other = (
        replace(
            samples.plain_run(name, 9, 0.5, size=4),
            path=f"{name}.h5",
            warnings=(f"{name}.h5: few samples", own),
        )
        for name, own in (("a", "a.h5: slow"), ("b", "odd"))
    )
    assert Report("", "", "cpu", (one, other)).warnings == ("every run: few samples", "a.h5: slow", "odd")
    assert Report("", "", "cpu", (one,)).warnings == ("a.h5: few samples", "a.h5: slow")


def test_a_certified_bound_of_one_side_alone() -> None:
    bound = Bound("certified_lower", "", "", "", "lower", np.array([2.0]), False, quantity="lambda_min")
    checked = CheckedBound(bound, "total", (), holds=True)
    assert words.enclosure([checked]) == "lambda_min >= 2.0e+00"
    assert words.certified([checked]) == ">= 2.0e+00"
    zero = [
        replace(checked, bound=replace(bound, side=side, values=np.zeros(1))) for side in ("lower", "upper")
    ]
    assert (words.certified(zero), words.enclosure(zero)) == ("0", "lambda_min = 0")
    above = replace(checked, bound=replace(bound, side="upper", values=np.array([3.0])))
    assert words.enclosure([checked, above]) == "2.0e+00 <= lambda_min <= 3.0e+00"
    assert (words.certified([above]), words.enclosure([above])) == ("<= 3.0e+00", "lambda_min <= 3.0e+00")
    assert words.bound(checked, samples.spectrum(np.array([2.5]), 1e-9)).endswith("; lambda_min >= 2.0e+00")


def test_modes_that_were_not_computed_are_noted_unless_nobody_asked_for_them() -> None:
    run = samples.plain_run("x", 9, 0.5, size=4)
    for reason, said in (
        (NO_TARGETS, ()),
        (NOT_ASKED, ()),
        ("method dual gives no eigenvectors", ("modes: not computed, method dual gives no eigenvectors.",)),
    ):
        end = replace(run.snapshots[-1], no_alignment=reason)
        assert notes(samples.one_run(replace(run, snapshots=(end,)))) == said


def test_what_is_unusual_of_a_kernel_is_said() -> None:
    run = samples.plain_run("x", 9, 0.5, size=4)
    total = run.snapshots[-1].spectra["total"]
    assert (words.method(total), words.method(replace(total, precision="float32"))) == (
        "gram",
        "gram float32",
    )
    assert (words.mode(run), words.mode(replace(run, mode=1))) == ("trace", "output 1 alone")


def test_a_small_kernel_distance_has_digits_everywhere() -> None:
    run = samples.plain_run("x", 9, 0.5, size=4)
    for value, shown in ((4e-4, "4.0e-04"), (0.0, "0"), (0.25, "0.250")):
        end = replace(run.snapshots[-1], distances={"total": KernelDistance(value, "s0")})
        assert words.distance(end, "total") == shown
        assert f">{shown}</td>" in end._repr_html_()
