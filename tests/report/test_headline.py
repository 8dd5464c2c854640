"""The headline: right whoever won, and also where nothing is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ntkspec.report.headline import headline, ranking
from ntkspec.report.page_table import front
from ntkspec.report.records import Report, RunReport
from ntkspec.report.summary import comparison_table, notes
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.rank import Rank

from . import samples

UNKNOWN = (
    "The run files do not say how good the results are (no PSNR, no IoU), and a fast network fits noise as "
    "fast as detail."
)


def run(label: str, metrics: dict[str, float] | None = None, *, modes: int = 0, **look: Any) -> RunReport:
    """A run of one snapshot "end" with these metrics, whose first `modes` modes hold all of its target."""
    whole = samples.plain_run(label, look.pop("decades", 9), 0.5, size=32)
    end = replace(whole.snapshots[-1], metrics=metrics or {}, label=look.pop("snapshot", "end"))
    if modes:
        total = replace(end.spectra["total"], error=np.full(32, 1e-15))
        shares = np.where(np.arange(32) == modes - 1, 1.0, 0.0)
        end = replace(end, alignments={"total": Alignment(total, shares, 0.0)})
    return replace(whole, snapshots=(end,), **look)


def psnr(label: str, value: float, **more: Any) -> RunReport:
    return run(label, {"psnr_db": value}, **more)


def said(*runs: RunReport, baseline: str | None = None) -> tuple[str, ...]:
    return headline(Report("", "", "cpu", runs, baseline=baseline))


def without_rank(one: RunReport, **spectrum: Any) -> RunReport:
    """The run with other facts about its total kernel."""
    end = one.snapshots[0]
    total = replace(end.spectra["total"], **spectrum)
    return replace(one, snapshots=(replace(end, spectra={"total": total}),))


def test_the_best_is_set_against_the_next_and_the_reference(report: Report) -> None:
    lead, *supports = headline(report)
    assert lead == (
        "MPE (fine) comes closest to the picture: PSNR 32.5 dB, 3.0 dB above MPE (coarse), the next, and "
        "15.0 dB above Baseline."
    )
    assert supports == [
        "Without its grid's gradients, eigenvalue 22 of 64 goes from 3.1e-01 to 2.0e-10, and those after it "
        "cannot be told from zero."
    ]


@pytest.mark.parametrize(
    ("rank", "beyond"),
    [
        (22, "are exactly zero."),
        (30, "cannot be told from zero, of which the last 34 are exactly zero."),
        (64, "cannot be told from zero."),
    ],
)
def test_only_what_lies_beyond_the_rank_is_called_zero(report: Report, rank: int, beyond: str) -> None:
    best = report["MPE (fine)"]
    end = best.snapshots[-1]
    rest = replace(end.spectra["no_grid"], rank=Rank(rank, "distinct rows"))
    end = replace(end, spectra={**end.spectra, "no_grid": rest})
    assert said(replace(best, snapshots=(end,)))[-1].endswith(f", and those after it {beyond}")


def test_of_a_kernel_whose_smallest_eigenvalue_is_not_known_nothing_is_lost(report: Report) -> None:
    best = report["MPE (fine)"]
    end = best.snapshots[-1]
    unresolved = replace(end.spectra["total"], floor=1.0)
    end = replace(end, spectra={**end.spectra, "total": unresolved})
    assert len(said(replace(best, snapshots=(end,)))) == 1


def test_gains_are_of_the_numbers_as_shown() -> None:
    assert said(psnr("a", 30.04), psnr("b", 20.06))[0].endswith("PSNR 30.0 dB, 9.9 dB above b.")


def test_the_reference_may_be_the_best() -> None:
    runs = (psnr("plain", 30.0), psnr("ours", 28.0), psnr("theirs", 27.5))
    lead = said(*runs, baseline="plain")[0]
    assert lead == "plain comes closest to the picture: PSNR 30.0 dB, 2.0 dB above ours, the next."
    assert said(*runs[:2], baseline="ours")[0].endswith("PSNR 30.0 dB, 2.0 dB above ours.")


def test_eight_own_runs_have_no_reference() -> None:
    lead = said(*(psnr(f"net {i}", 20 + i) for i in range(8)))[0]
    assert lead == "net 7 comes closest to the picture: PSNR 27.0 dB, 1.0 dB above net 6, the next."


def test_ties_are_ties() -> None:
    runs = [psnr(name, 25.0 + shift / 100) for name, shift in (("a", 0), ("b", 2), ("c", -4))]
    worse = psnr("d", 20.0)
    assert said(*runs[:2]) == ("Both runs come equally close to the picture: PSNR 25.0 dB.",)
    assert said(*runs) == ("All 3 runs come equally close to the picture: PSNR 25.0 dB.",)
    ahead = "a, b and c come closest to the picture, equally close: PSNR 25.0 dB."
    assert said(*runs, worse)[0] == ahead
    four = said(*runs, psnr("e", 25.0), worse)[0]
    assert four == "a, b and 2 more come closest to the picture, equally close: PSNR 25.0 dB."


def test_one_run_alone() -> None:
    assert said(psnr("x", 31.24)) == ("x reaches PSNR 31.2 dB on the picture.",)
    assert said(run("x", snapshot="init"))[0] == (
        "All 32 eigenvalues of x are known at snapshot init, from 2.0e+04 down to 2.0e-05."
    )


def test_a_mesh_and_held_out_pixels() -> None:
    lead = said(run("a", {"iou": 0.91}), run("b", {"iou": 0.9345, "psnr_db": float("nan")}))[0]
    assert lead == "b comes closest to the shape: IoU 0.934, 0.024 above a."
    half = (
        run(name, {"psnr_db": 50.0 - x, "psnr_db_held_out": 20.0 + x}) for name, x in (("a", 1), ("b", 3))
    )
    assert (
        said(*half)[0] == "b comes closest to the held-out part of the picture: PSNR 23.0 dB, 2.0 dB above a."
    )


def halves(label: str, value: float, **task: Any) -> RunReport:
    """A run of our trainer, better at the pixels held out the worse it is at all of them."""
    config = {"task": {"kind": "image", "image": "cat.png", **task}}
    return run(label, {"psnr_db": 50.0 - value, "psnr_db_held_out": value}, config=config)


def test_other_pixels_held_out_are_not_compared() -> None:
    a, b = halves("a", 20.0, held_out=0.5, side=64), halves("b", 22.0, held_out=0.1, side=64)
    assert said(a, b)[0] == "a comes closest to the picture: PSNR 30.0 dB, 2.0 dB above b."
    note = "The runs held out different pixels: PSNRs of these do not compare."
    assert note in notes(Report("", "", "cpu", (a, b)))
    assert note in front(Report("", "", "cpu", (a, b))).notes
    same = halves("b", 22.0, held_out=0.5, side=64)
    assert said(a, same)[0].startswith("b comes closest to the held-out part of the picture: PSNR 22.0 dB")
    assert notes(Report("", "", "cpu", (a, same))) == ()
    assert said(a, same, run("mesh", {"iou": 0.9}))[0].startswith(
        "Of the 2 runs with a PSNR, b comes closest to the held-out part of the picture"
    )


def meshes(label: str, iou: float, mesh: str, **look: Any) -> RunReport:
    task = {"kind": "occupancy", "mesh": mesh, "up": "y", "azimuth": look.pop("azimuth", 25.0)}
    return run(label, {"iou": iou}, config={"task": task}, **look)


def test_a_mesh_is_no_picture() -> None:
    knot, bunny = meshes("a", 0.9, "knot.ply"), meshes("b", 0.8, "bunny.ply", truth=samples.picture(0.1))
    assert said(knot, bunny)[0] == "The runs learnt different shapes; the highest IoU is that of a, 0.900."
    behind = meshes("b", 0.8, "knot.ply", truth=samples.picture(0.1), azimuth=205.0)
    assert said(knot, behind)[0] == "a comes closest to the shape: IoU 0.900, 0.100 above b."


def test_runs_that_are_not_judged_do_not_change_the_target() -> None:
    """A mesh beside two runs of a picture, and with PSNRs of another picture, too."""
    mesh = meshes("mesh", 0.9, "knot.ply", truth=samples.picture(0.1))
    assert said(psnr("a", 30.0), psnr("b", 20.0), mesh)[0] == (
        "Of the 2 runs with a PSNR, a comes closest to the picture: PSNR 30.0 dB, 10.0 dB above b."
    )
    other = psnr("b", 20.0, truth=samples.picture(0.2))
    assert said(psnr("a", 30.0), other, mesh)[0] == (
        "The 2 runs with a PSNR learnt different pictures; the highest PSNR is that of a, 30.0 dB."
    )


def test_one_picture_at_two_sizes_is_two_targets() -> None:
    """Of reports that were read, too, which do not have the pictures."""
    large, small = (
        psnr(
            f"{side}",
            side / 4,
            truth=None,
            config={"task": {"kind": "image", "image": "a.png", "side": side}},
        )
        for side in (128, 64)
    )
    assert said(large, small)[0].startswith("The runs learnt different pictures;")


def test_targets_of_other_outputs_are_other_targets() -> None:
    colour, grey = (replace(psnr(str(c), 10.0 * c, truth=None), outputs=c) for c in (3, 1))
    assert said(colour, grey)[0] == (
        "The runs learnt different targets; the highest PSNR is that of 3, 30.0 dB."
    )


def test_runs_without_a_number_are_counted() -> None:
    runs = (psnr("a", 30.0), psnr("b", 20.0), run("c"))
    assert said(*runs)[0] == (
        "Of the 2 runs with a PSNR, a comes closest to the picture: PSNR 30.0 dB, 10.0 dB above b."
    )
    assert said(*runs[1:])[0] == "b reaches PSNR 20.0 dB on the picture; the other run has no PSNR."


def test_different_pictures_and_no_picture() -> None:
    other = psnr("b", 20.0, truth=samples.picture(0.1))
    assert said(psnr("a", 30.0), other) == (
        "The runs learnt different pictures; the highest PSNR is that of a, 30.0 dB.",
    )
    assert said(psnr("a", 30.0, truth=None), psnr("b", 20.0, truth=None))[0].startswith(
        "a comes closest to the target:"
    )


def test_a_report_that_was_read_names_the_picture_without_having_it() -> None:
    def read(label: str, value: float, image: str) -> RunReport:
        return psnr(label, value, truth=None, config={"task": {"kind": "image", "image": image}})

    assert said(read("a", 30.0, "x/cat.png"), read("b", 20.0, "cat.png"))[0].startswith(
        "a comes closest to the picture:"
    )
    dog = read("b", 20.0, "dog.png")
    for truth in (None, samples.picture(0.1)):  # of a run that was not read
        cat = replace(read("a", 30.0, "cat.png"), truth=truth)
        assert said(cat, dog)[0].startswith("The runs learnt different pictures;")


def test_two_of_three_may_be_equally_close() -> None:
    ends = [psnr(name, value) for name, value in (("a", 30.0), ("b", 20.0), ("d", 30.0))]
    assert said(*ends)[0] == "a and d come closest to the picture, equally close: PSNR 30.0 dB."


def perfect(label: str, **more: Any) -> RunReport:
    """A run whose PSNR is infinite, as run files say it."""
    return run(label, {"psnr_db_infinite": 1.0}, **more)


def test_a_perfect_picture_is_the_best_one() -> None:
    one, b, c = perfect("a"), psnr("b", 30.0), psnr("c", 20.0)
    assert said(one)[0] == "a matches the picture exactly: PSNR inf dB."
    assert said(b, one)[0] == "a matches the picture exactly: PSNR inf dB; b reaches 30.0 dB."
    assert said(c, b, one, baseline="c")[0].endswith("inf dB; b reaches 30.0 dB; c reaches 20.0 dB.")
    assert said(one, b, perfect("d"))[0] == "a and d match the picture exactly: PSNR inf dB."
    held_out = (
        run("a", {"psnr_db": 30.0, "psnr_db_held_out_infinite": 1.0}),
        run("b", {"psnr_db_held_out": 40.0}),
    )
    assert said(*held_out)[0].startswith("a matches the held-out part of the picture exactly: PSNR inf dB; b")
    report = Report("", "", "cpu", (b, one))
    assert [(row.run.name, *row.qualities) for row in comparison_table(report).rows] == [
        ("b", "30.0 dB"),
        ("a", "inf dB"),
    ]
    for no_psnr in ({"psnr_db_infinite": 0.0}, {"mse": 0.0}):
        assert said(run("a", no_psnr))[0].startswith("All 32 eigenvalues of a are known")


def test_an_error_of_zero_is_a_metric_like_any_other() -> None:
    ends = run("a", {"iou": 0.9, "mse": 0.0}), run("b", {"iou": 0.95})
    assert said(*ends)[0].startswith("b comes closest to the shape: IoU 0.950")


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (20, "b needs 20."),
        (3, "b needs as many, so this does not tell them apart."),
        (1, "b needs fewer, 1, so this does not explain the result."),
        (2, "b needs fewer, 2, so this does not explain the result."),
    ],
)
def test_modes_stand_beside_the_result(theirs: int, expected: str) -> None:
    support = said(psnr("a", 30.0, modes=3), psnr("b", 20.0, modes=theirs))[1]
    head = "After training, 3 of its 32 modes hold 90% of the picture; "
    assert support == head + expected


@pytest.mark.parametrize("apart", [{"inputs": "others"}, {"mode": 0}])
def test_modes_of_kernels_that_cannot_be_compared_stand_alone(apart: dict[str, Any]) -> None:
    support = said(psnr("a", 30.0, modes=3, inputs="these"), psnr("b", 20.0, modes=20, **apart))[1]
    assert support == "After training, 3 of its 32 modes hold 90% of the picture."


def test_modes_are_set_against_the_reference_and_say_when() -> None:
    ends = [psnr(name, 30.0 - m, modes=m, snapshot="step 9") for name, m in (("a", 1), ("b", 5), ("c", 9))]
    lead, support = said(*ends, baseline="c")
    assert lead.startswith("a comes closest to the picture at snapshot step 9: PSNR 29.0 dB")
    assert support == ("At snapshot step 9, 1 of its 32 modes holds 90% of the picture; c needs 9.")
    assert [note[:6] for note in notes(Report("", "", "cpu", tuple(ends)))] == ["modes:"]


def test_modes_that_errors_leave_open_are_ranges() -> None:
    """Modes 2 to 9 of b are nearer to each other than their errors."""
    b = psnr("b", 20.0, modes=5)
    total = b.snapshots[0].spectra["total"]
    values = np.append(total.eigenvalues[0], np.full(8, total.eigenvalues[8]))
    close = replace(total, eigenvalues=np.append(values, total.eigenvalues[9:]), error=np.full(32, 1e-15))
    end = b.snapshots[0]
    aligned = replace(end.alignments["total"], spectrum=close)
    b = replace(b, snapshots=(replace(end, alignments={"total": aligned}),))
    for count, expected in (
        (1, "b needs 2 to 9."),
        (2, "b needs 2 to 9, so this does not tell them apart."),
        (4, "b needs 2 to 9, so this does not tell them apart."),
        (20, "b needs fewer, 2 to 9, so this does not explain the result."),
    ):
        assert said(psnr("a", 30.0, modes=count), b)[1].endswith(f" of the picture; {expected}")


def test_modes_that_the_resolved_ones_do_not_hold() -> None:
    other = psnr("b", 20.0)
    total = other.snapshots[0].spectra["total"]
    little = Alignment(total, np.full(32, 1e-3), 1 - 0.032)
    end = replace(other.snapshots[0], alignments={"total": little})
    support = said(psnr("a", 30.0, modes=2), replace(other, snapshots=(end,)))[1]
    assert support.endswith("b needs more than 32.")


def test_without_quality_the_largest_lambda_min_is_named() -> None:
    runs = (run("a", decades=12), run("b", decades=6))
    lead = "Of 2 networks, b learns its slowest pattern fastest: its kernel's smallest eigenvalue is 2.0e-02."
    assert said(*runs) == (lead, UNKNOWN)
    assert said(*runs, baseline="a")[0].endswith("eigenvalue is 2.0e-02; that of a is 2.0e-08.")
    zero = without_rank(runs[0], rank=Rank(31, "31 nonzero columns of J"), floor=1e-7)
    assert said(zero, runs[1], baseline="a")[0].endswith("; that of a is exactly zero.")
    low = without_rank(runs[0], floor=1e-7)
    assert said(low, runs[1], baseline="a")[0].endswith("; that of a cannot be told from zero.")


def test_the_largest_lambda_min_is_named_only_where_no_other_may_be_larger() -> None:
    unresolved, known = without_rank(run("a", decades=12), floor=1e-3), run("b", decades=9)
    unsure = "It cannot be told which network learns its slowest pattern fastest."
    assert said(unresolved, known)[0] == unsure
    assert said(known, without_rank(run("c"), size=5000))[0] == unsure
    assert said(known, run("c", decades=9))[0] == unsure
    exact = [without_rank(run(name, decades=9), error=np.zeros(32)) for name in "bc"]
    assert said(*exact)[0] == unsure
    more = exact[1].snapshots[0].spectra["total"].eigenvalues * (1 + 1e-9)  # the same as it is shown
    assert said(exact[0], without_rank(exact[1], eigenvalues=more))[0] == unsure
    steep = exact[1].snapshots[0].spectra["total"].eigenvalues.copy()
    steep[:-1] *= 10  # the smallest alone counts
    steep[-1] /= 10
    assert said(exact[0], without_rank(exact[1], eigenvalues=steep))[0].startswith("Of 2 networks, b")
    ends = [
        replace(one.snapshots[0], metrics={"psnr_db": 9.0 - i}) for i, one in enumerate((unresolved, known))
    ]
    runs = tuple(replace(one, snapshots=(end,)) for one, end in zip((unresolved, known), ends, strict=True))
    assert ranking(Report("", "", "cpu", runs)) == ""


def test_runs_of_different_samples_are_not_compared_by_their_spectra() -> None:
    slow, fast = run("a", decades=12), run("b", decades=6)
    apart = [replace(one, inputs=digest) for one, digest in ((slow, "one"), (fast, "other"))]
    lead = "The runs have different samples or outputs, on which eigenvalues depend: they are not compared."
    assert said(*apart)[0] == lead
    assert said(slow, replace(fast, samples=7))[0] == lead
    assert said(slow, replace(fast, outputs=3))[0] == lead  # kernels of the same size, of sums over outputs
    assert said(apart[0], fast)[0].startswith("Of 2 networks, b")  # an older report does not know its samples
    judged = [run("a", {"psnr_db": 20.0}, decades=12), run("b", {"psnr_db": 10.0}, decades=6)]
    assert ranking(Report("", "", "cpu", tuple(judged))).startswith("b has the largest lambda_min")
    judged = [replace(one, inputs=one.label) for one in judged]
    assert ranking(Report("", "", "cpu", tuple(judged))) == ""


def test_metrics_that_say_nothing_are_named() -> None:
    runs = (run("a", {"loss": 0.1, "mae": 1.0}, decades=12), run("b", {"loss": 0.2}, decades=6))
    assert "(no PSNR, no IoU; whether more or less is better is not known of loss, mae)" in said(*runs)[1]


def test_nothing_is_known() -> None:
    low = [without_rank(run(name), floor=1e-3) for name in "ab"]
    assert said(*low) == ("No run's smallest eigenvalue can be told from zero.", UNKNOWN)
    zero = [without_rank(one, floor=1e-3, rank=Rank(31, "why")) for one in low]
    assert said(*zero) == ("The smallest eigenvalue of every run is exactly zero.", UNKNOWN)
    top = [without_rank(run(name), size=5000) for name in "ab"]
    assert said(*top)[0] == "No run's smallest eigenvalue is known: not all eigenvalues were computed."
    assert headline(Report("", "", "cpu", ())) == ("The report has no runs.",)


def test_a_single_eigenvalue_in_words() -> None:
    alone = run("x").snapshots[0].spectra["total"].largest(1)
    for size, expected in (
        (1, "The only eigenvalue of x is known"),
        (9, "The largest of 9 eigenvalues of x was computed"),
    ):
        one = without_rank(run("x"), eigenvalues=alone.eigenvalues, error=alone.error, size=size)
        assert said(one) == (f"{expected}: 2.0e+04.",)


def test_one_spectrum_in_words() -> None:
    one = run("x")
    total = one.snapshots[0].spectra["total"]
    assert said(without_rank(one, size=5000))[0].startswith(
        "The 32 largest of 5,000 eigenvalues of x were computed"
    )
    assert said(without_rank(one, floor=float(total.eigenvalues[9])))[0].endswith(
        "; the rest cannot be told from zero."
    )
    partly = without_rank(one, floor=float(total.eigenvalues[9]), rank=Rank(20, "why"))
    assert said(partly)[0].startswith("9 of 32 eigenvalues of x are known, from 2.0e+04 down to ")
    assert said(partly)[0].endswith("; at least 12 are exactly zero.")
    first = without_rank(one, floor=float(total.eigenvalues[1]), rank=Rank(31, "why"))
    assert said(first) == ("1 of 32 eigenvalues of x is known: 2.0e+04; at least 1 is exactly zero.",)
    assert said(without_rank(one, floor=1e9)) == (
        "No eigenvalue of x can be told from zero (at most 1.0e+09).",
    )
    nothing = without_rank(one, eigenvalues=np.zeros(32), floor=0.0, rank=Rank(0, "no gradient"))
    assert said(nothing) == ("The kernel of x is exactly zero: no parameter has a gradient.",)


def test_ranking_is_denied_only_where_another_run_draws_better(report: Report) -> None:
    assert ranking(report) == ""
    best = report.runs[-1]  # the largest lambda_min, made the worst picture
    end = replace(best.snapshots[-1], metrics={"psnr_db": 1.0})
    worse = replace(report, runs=(*report.runs[:-1], replace(best, snapshots=(*best.snapshots[:-1], end))))
    assert ranking(worse).startswith("MPE (fine) has the largest lambda_min and not the best PSNR: ")
    assert ranking(worse) in notes(worse)
    assert headline(worse)[0].startswith("MPE (coarse) comes closest")
