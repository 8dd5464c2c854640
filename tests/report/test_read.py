"""report.json read back: the records that were written, whatever wrote them, and one line for all else."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import cases
import numpy as np
import pytest
import runs
from hypothesis import given, settings
from hypothesis import strategies as st

import ntkspec
from ntkspec.analyze import analyze_runs
from ntkspec.commands.cli import console
from ntkspec.errors import NtkspecError, ReportFileError
from ntkspec.report.compare import compare_runs
from ntkspec.report.figures import draw_all
from ntkspec.report.from_json import report_from_json
from ntkspec.report.records import Report, SnapshotReport
from ntkspec.report.terminal import print_report
from ntkspec.report.to_json import dumps, to_json
from ntkspec.report.tree import Node, parse
from ntkspec.report.write import write_json_file
from ntkspec.spectral import bounds
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.regions import Regions

from . import samples

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
LOST = ("picture", "truth", "vectors", "points", "patterns")  # JSON does not carry these


def differences(one: Any, other: Any, place: str = "") -> Iterator[str]:
    """Where two trees of records differ, to the last bit, but for what JSON does not carry."""
    if is_dataclass(one) and type(one) is type(other):
        for field in fields(one):
            if field.name not in LOST:
                yield from differences(
                    getattr(one, field.name), getattr(other, field.name), f"{place}.{field.name}"
                )
    elif isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        for key in one:
            yield from differences(one[key], other[key], f"{place}[{key!r}]")
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for i, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{place}[{i}]")
    elif isinstance(one, np.ndarray):
        if not (np.array_equal(one, other, equal_nan=True) and one.dtype == other.dtype):
            yield place
    elif one != other and not (one != one and other != other):
        yield place


def again(report: Report) -> Report:
    return report_from_json(parse(dumps(report).encode(), "report.json"))


def six() -> Report:
    return samples.six_runs(size=16)


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A real one: all kinds of bounds, checks and ranks, and regions that say nothing of some blocks."""
    own = [tmp_path_factory.mktemp("runs") / f"{name}.h5" for name in ("regions", "beside")]
    rng = np.random.default_rng(0)
    inputs, targets = rng.random((2, 12, 2))
    for path in own:
        with runs.RunWriter(path, inputs=inputs, targets=targets) as run:
            with run.snapshot("end", step=1, label="end") as snapshot:
                snapshot.write(0, np.ones((12, 2)), cases.mixed(12), np.zeros(12, np.int64))
    files = [GOLDEN / "mpe.h5", GOLDEN / "baseline-patch.h5", *own]
    return analyze_runs(files, baseline="regions", check=True, backend="cpu")


def test_what_was_written_is_read(golden: Report, tmp_path: Path) -> None:
    for report in (six(), golden, samples.one_run(samples.plain_run("a\ud800", 9, 0.5, size=8))):
        write_json_file(report, tmp_path / "some name")
        found = ntkspec.read_report(tmp_path / "some name")
        assert list(differences(report, found)) == []
        assert list(differences(found, again(found))) == []
        assert dumps(found) == dumps(report)


def test_the_real_report_has_all_that_can_be_lost(golden: Report) -> None:
    """Lest the test above passes for want of anything to lose."""
    snapshots = [snap for run in golden.runs for snap in run.snapshots]
    spectra = [each for snap in snapshots for each in snap.spectra.values()]
    assert all(each.trace_error > 0 for each in spectra)
    assert any(each.regions for each in spectra)
    assert any(each.rank for each in spectra)
    assert {check.name for snap in snapshots for check in snap.checks} >= {"trace", "routes", "tiles"}
    assert any(bound.decades_min is not None for snap in snapshots for bound in snap.bounds)
    assert any(not np.isfinite(bound.bound.values).all() for snap in snapshots for bound in snap.bounds)
    assert golden.comparisons
    assert golden.baseline
    assert all(run.inputs for run in golden.runs)
    assert any(run.config for run in golden.runs)
    aligned = [found for snap in snapshots for found in snap.alignments.values()]
    assert aligned
    assert all(found.residual is not None and found.kernel_target for found in aligned)
    assert {snap.no_alignment for snap in snapshots} == {"", "the run file has no targets"}


numbers = st.floats(0, 1e300)
words = st.text(max_size=5)


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    values = sorted(draw(st.lists(numbers, min_size=1, max_size=4)), reverse=True)
    errors = st.lists(numbers | st.just(math.inf), min_size=len(values), max_size=len(values))
    return Spectrum(
        eigenvalues=np.array(values),
        error=np.array(draw(errors)),
        floor=draw(numbers),
        size=len(values) + draw(st.integers(0, 2)),
        trace=draw(numbers),
        method=draw(st.sampled_from(["gram", "svd", "dual", "cholesky", "lanczos"])),
        precision=draw(st.sampled_from(["float64", "float32"])),
        blocks=tuple(draw(st.lists(words, max_size=2))),
        trace_error=draw(numbers),
        reason=draw(words),
        rank=draw(st.none() | st.builds(Rank, st.integers(0, 9), words)),
        regions=draw(
            st.none()
            | st.builds(
                Regions, st.integers(0, 9), words, st.integers(0, 9), numbers, st.just(("a",)) | st.just(())
            )
        ),
    )  # fmt: skip


@st.composite
def alignments(draw: st.DrawFn, of: Spectrum) -> Alignment:
    shares = st.lists(st.floats(0, 1), min_size=of.resolved, max_size=of.resolved).map(np.array)
    residual = draw(st.none() | shares)
    return Alignment(
        spectrum=of,
        target=draw(shares).astype(np.float64),
        rest=draw(st.floats(0, 1)),
        kernel_target=draw(st.none() | st.floats(0, 1)),
        residual=None if residual is None else residual.astype(np.float64),
        residual_rest=None if residual is None else draw(st.floats(0, 1)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> SnapshotReport:
    total = draw(spectra())
    lower = replace(bounds.theorem1(total), vacuous=draw(st.booleans())) if total.complete else None
    held = (
        CheckedBound(lower, "total", ("no_grid",), draw(st.booleans()), draw(st.none() | numbers))
        if lower
        else None
    )
    return SnapshotReport(
        id=draw(words),
        step=draw(st.integers(0, 2**63 - 1)),
        label=draw(words),
        metrics=draw(st.dictionaries(words, st.floats(allow_infinity=False), max_size=2)),
        spectra={"total": total, draw(words.filter("total".__ne__)): draw(spectra())},
        bounds=(held,) if held else (),
        checks=(Check("trace", draw(words), "total", draw(numbers | st.just(math.inf))),),
        distances={
            "total": KernelDistance(draw(st.none() | st.floats(0, 1)), draw(words), draw(words)),
        },
        alignments={"total": draw(alignments(total))} if draw(st.booleans()) else {},
        no_alignment=draw(words),
    )


@settings(max_examples=30)
@given(snapshots())
def test_any_snapshot_is_read_back(snapshot: SnapshotReport) -> None:
    run = replace(samples.plain_run("one", 9, 0.5, size=4), snapshots=(snapshot,))
    report = samples.one_run(run)
    assert list(differences(report, again(report))) == []


def test_what_was_not_finite_is_read_as_what_it_stood_for() -> None:
    run = samples.grid_run("one", 9, 0.5, size=4)
    snap = run.snapshots[0]
    bound = snap.bounds[0]
    shut = replace(bound, bound=replace(bound.bound, values=np.array([1.0, -np.inf, 0.0, -np.inf])))
    upper = replace(shut, bound=replace(shut.bound, side="upper", values=np.array([1.0, np.inf, 1.0, 0.0])))
    metrics = {"psnr_db": math.inf, "loss": 0.0}
    report = samples.one_run(replace(run, snapshots=(replace(snap, metrics=metrics, bounds=(shut, upper)),)))
    found = again(report).runs[0].snapshots[0]
    assert [list(each.bound.values) for each in found.bounds] == [
        [1.0, -np.inf, 0.0, -np.inf],
        [1.0, np.inf, 1.0, 0.0],
    ]
    assert math.isnan(found.metrics["psnr_db"])
    assert found.metrics["loss"] == 0


def first_version(tree: dict[str, Any]) -> None:
    """Take away what the first writers of version 1 did not write."""
    for run in tree["runs"]:
        for name in ("inputs", "digest", "place"):
            del run[name]
        for snap in run["snapshots"]:
            del snap["checks"], snap["kernel_distance"], snap["alignment"], snap["no_alignment"]
            for spectrum in snap["spectra"].values():
                for name in ("rank", "regions", "trace_error", "smallest_at_most"):
                    del spectrum[name]
            for bound in snap["bounds"]:
                del bound["source"], bound["tightness"]


def test_files_of_earlier_versions_are_read(golden: Report, tmp_path: Path) -> None:
    tree = to_json(golden)
    first_version(tree)
    found = report_from_json(parse(json.dumps(tree).encode(), "old.json"))
    lost = {place.rpartition(".")[2].partition("[")[0] for place in differences(golden, found)}
    assert lost == {
        "inputs",
        "digest",
        "place",
        "checks",
        "distances",
        "alignments",
        "no_alignment",
        "rank",
        "regions",
        "trace_error",
        "source",
        "decades_min",
        "decades_median",
    }
    total = found.runs[0].snapshots[0].spectra["total"]
    assert (total.trace_error, total.rank, total.regions) == (0.0, None, None)
    assert found.runs[0].inputs is None
    assert to_json(found)["version"] == 1


def test_a_read_report_is_written_printed_and_compared(
    golden: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = again(golden)
    stdout = console()
    with stdout.capture() as printed:
        print_report(found, stdout)
    assert "baseline" in printed.get()
    reference = next(i for i, run in enumerate(found.runs) if run.label == found.baseline)
    assert compare_runs(found.runs, reference) == golden.comparisons
    small = again(samples.one_run(samples.grid_run("one", 9, 0.5, size=4)))
    assert {name for name, _ in draw_all(small)} == {"spectra", "training", "ablation"}  # none of pictures
    monkeypatch.setattr("ntkspec.report.figures.draw_all", lambda _: iter(()))  # which takes seconds
    paths = small.write(tmp_path / "report")
    assert (tmp_path / "report" / "report.json").read_text() == dumps(small)
    assert {path.name for path in paths} >= {"index.html", "spectra.csv"}


def test_decades_that_say_nothing_are_not_read_from_older_reports() -> None:
    """Version 0.2.0 wrote them, of runs at different samples."""
    tree = to_json(six())
    tree["runs"][0]["inputs"] = "these"
    for run in tree["runs"][1:3]:
        run["inputs"] = "others"
    found = report_from_json(parse(json.dumps(tree).encode(), "old.json"))
    apart = {found.runs[1].label, found.runs[2].label}
    assert {each.run for each in found.comparisons} == {run.label for run in found.runs[1:]} - apart
    assert [run.inputs for run in found.runs[:4]] == ["these", "others", "others", None]


def edited(edit: Callable[[dict[str, Any]], Any]) -> bytes:
    tree = json.loads(dumps(samples.one_run(samples.grid_run("one", 9, 0.5, size=4))))
    edit(tree)
    return json.dumps(tree).encode()


def snap(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["runs"][0]["snapshots"][0]
    return found


def total(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = snap(tree)["spectra"]["total"]
    return found


def bound(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = snap(tree)["bounds"][0]
    return found


def first(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["runs"][0]
    return found


NO_JSON = "expected JSON, got something else"
OTHER = "expected a report, with format 'ntkspec-report', got something else"
CONTENTS: dict[bytes, str] = {
    b"": NO_JSON,
    b"\xff\xfe": NO_JSON,
    b"\x89HDF\r\n\x1a\n": NO_JSON,
    b"[" * 100_000: NO_JSON,
    b'{"format": ' + b"9" * 5000 + b"}": NO_JSON,
    b"[]": OTHER,
    b'{"format": "other"}': OTHER,
    edited(lambda tree: None)[:-100]: NO_JSON,
    edited(lambda tree: total(tree).update(floor=math.nan)): "NaN is not JSON",
    edited(lambda tree: total(tree).update(floor=math.inf)): "Infinity is not JSON",
    edited(lambda tree: total(tree).update(floor=3)).replace(b'"floor": 3', b'"floor": 1e999', 1): (
        "runs[0].snapshots[0].spectra.total.floor: expected a finite number >= 0, got inf"
    ),
}
EDITS: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda tree: tree.pop("version"), "expected a member 'version', got none"),
    (lambda tree: tree.update(version=2), "expected a report of version 1, got version 2"),
    (lambda tree: total(tree).update(trace=10**400), "total.trace: expected a finite number"),
    (lambda tree: total(tree).update(eigenvalues=[1, 0, 0, -1]), "eigenvalues[3]: expected a finite number"),
    (lambda tree: total(tree).update(eigenvalues=[1] * 5), "eigenvalues: expected 1 to 4 numbers, got 5"),
    (lambda tree: total(tree).update(eigenvalues=[]), "eigenvalues: expected 1 to 4 numbers, got 0"),
    (lambda tree: total(tree)["error"].pop(), "spectra.total.error: expected 4 numbers, got 3"),
    (lambda tree: bound(tree)["values"].pop(), "bounds[0].values: expected 4 numbers, got 3"),
    (lambda tree: bound(tree).update(quantity="lambda_min"), "bounds[0].values: expected 1 numbers, got 4"),
    (lambda tree: bound(tree).update(of="all"), "bounds[0].of: expected one of 'total'"),
    (lambda tree: bound(tree).update(side="left"), "side: expected one of 'lower', 'upper', got 'left'"),
    (lambda tree: bound(tree).update(holds=1), "holds: expected true or false, got 1"),
    (lambda tree: snap(tree)["spectra"].pop("total"), "expected a spectrum 'total', got no_grid, grid"),
    (lambda tree: snap(tree).update(step="3"), "step: expected an integer >= 0, got '3'"),
    (lambda tree: snap(tree).update(step=True), "step: expected an integer >= 0, got True"),
    (lambda tree: snap(tree).update(kernel_distance=[]), "kernel_distance: expected an object, got []"),
    (
        lambda tree: snap(tree).update(kernel_distance={"total": {"value": -1, "from": "", "reason": ""}}),
        "kernel_distance.total.value: expected a finite number >= 0, got -1",
    ),
    (lambda tree: snap(tree).update(label=3), "label: expected a string, got 3"),
    (lambda tree: snap(tree).update(metrics=[]), "metrics: expected an object, got []"),
    (lambda tree: tree.update(runs={}), "runs: expected a list, got {}"),
    (lambda tree: tree["runs"].append("x"), "runs[1]: expected an object, got 'x'"),
    (lambda tree: first(tree).update(config=[]), "config: expected an object, got []"),
    (lambda tree: first(tree).update(mode=1), "mode: expected an output's number below 1, got 1"),
    (lambda tree: first(tree).update(mode="all"), "mode: expected one of 'trace', 'full', got 'all'"),
    (lambda tree: tree["runs"].append(first(tree)), "runs: expected a label of its own for each run"),
]  # fmt: skip
BAD = [*CONTENTS.items(), *((edited(edit), said) for edit, said in EDITS)]


@pytest.mark.parametrize(("content", "said"), BAD, ids=[said for _, said in BAD])
def test_a_bad_file_is_one_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(ReportFileError) as refused:
        ntkspec.read_report(path)
    line = str(refused.value)
    assert line.startswith(f"{path}: ")
    assert said in line
    assert "\n" not in line
    assert refused.value.remedy
    assert len(line) < 400


def test_no_file_is_one_line(tmp_path: Path) -> None:
    for path, said in (
        (tmp_path, "got a folder"),
        (tmp_path / "absent.json", "got No such file or directory"),
        (Path("/dev/null"), "got a device or a pipe"),
    ):
        with pytest.raises(NtkspecError, match=r"expected a file report\.json") as refused:
            ntkspec.read_report(path)
        assert said in str(refused.value)


def test_no_damage_is_worse_than_a_line() -> None:
    """Whatever stands where something else belongs: a report, or a `ReportFileError`."""
    random = np.random.default_rng(0)
    tree = json.loads(dumps(samples.one_run(samples.grid_run("one", 9, 0.5, size=3))))
    strange: list[Any] = [None, [], {}, "x", -1, 1e300, True, [[1]], {"a": 1}]
    for place, key in _places(tree):
        kept = place[key]
        place[key] = strange[int(random.integers(len(strange)))]
        with contextlib.suppress(ReportFileError):
            report_from_json(parse(json.dumps(tree).encode(), "report.json"))
        place[key] = kept


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(tree, dict | list):
        for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
            yield tree, key
            yield from _places(tree[key])


NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans()


@given(st.lists(NUMBERS | st.just(10**400) | st.just(math.inf)), st.sampled_from([None, math.inf]))
def test_many_numbers_are_read_as_each_of_them_is(values, null):
    """Or refused, in the words of the first that is no number to be read."""

    def outcome(read):
        try:
            return [repr(value) for value in read()]
        except ReportFileError as error:
            return str(error)

    node = Node(values, "report.json", "error")
    one_by_one = outcome(lambda: node.each(lambda each: each.number(null, least=0.0)))
    assert outcome(lambda: node.numbers(null=null, least=0.0).tolist()) == one_by_one
