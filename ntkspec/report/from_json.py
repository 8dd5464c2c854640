"""Read a report.json, written by this or an earlier version of this program, into the report's records."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import get_args

from ntkspec.backend import Precision
from ntkspec.errors import ReportFileError, UsageError, named_path
from ntkspec.jacobian import Outputs
from ntkspec.report.compare import comparable
from ntkspec.report.records import Comparison, ModePictures, Qualifier, Report, RunReport, SnapshotReport
from ntkspec.report.to_json import FORMAT, VERSION
from ntkspec.report.tree import Node, parse, read_bytes
from ntkspec.spectral.alignment import Alignment
from ntkspec.spectral.bounds.checked import CheckedBound
from ntkspec.spectral.bounds.record import Bound, Quantity, Side
from ntkspec.spectral.consistency import Check
from ntkspec.spectral.distance import KernelDistance
from ntkspec.spectral.rank import Rank
from ntkspec.spectral.record import Spectrum
from ntkspec.spectral.regions import Regions


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read a report.json, of this or an earlier version of ntkspec.

    The result holds the numbers that were written, to the last digit, but pictures, eigenvectors and values
    of eigenfunctions are None, since JSON does not contain them. Fields that an older file lacks are None,
    empty or, for `trace_error`, 0. Comparisons of kernels that are not comparable, which version 0.2.0 wrote,
    are left out. Numbers that were not finite are null in the file. They are read as infinity for an error, a
    floor or a check's deviation, as NaN for a metric, and for a bound as the infinity that makes it vacuous.

    Args:
        path: of the file, which may have any name.

    Returns:
        A report that can be written again, printed and compared.

    Raises:
        ReportFileError: the file is not a report.json, or it is damaged or of a later version.
        UsageError: the path is none.

    Example:
        >>> import pathlib, tempfile
        >>> from ntkspec.report.write import write_json_file
        >>> path = pathlib.Path(tempfile.mkdtemp(), "report.json")
        >>> write_json_file(Report("2025-01-01T00:00:00Z", "ntkspec", "cpu", runs=()), path)
        >>> read_report(path)
        Report of 0 runs
    """
    place = named_path(path)
    return report_from_json(parse(read_bytes(place), str(place)))


def report_from_json(root: Node) -> Report:
    """Return the report of a whole tree, as `ntkspec.report.to_json` makes one."""
    if not isinstance(root.value, dict) or root.value.get("format") != FORMAT:
        root.refuse(f"a report, with format {FORMAT!r}", "something else")
    if root["version"].value != VERSION:
        raise ReportFileError(
            root.where,
            expected=f"a report of version {VERSION}",
            got=f"version {root['version'].value!r}",
            remedy="upgrade ntkspec",
        )
    runs = root["runs"].each(run_from_json)
    try:
        return Report(
            created=root["created"].text(),
            producer=root["producer"].text(),
            backend=root["backend"].one_of(("cpu", "gpu")),
            runs=runs,
            comparisons=_meant(root["comparisons"].each(_comparison), runs),
            baseline=root.optional("baseline", Node.text, None),
        )
    except UsageError as error:  # of labels that are not apart
        root["runs"].refuse(error.expected, error.got)


def run_from_json(node: Node) -> RunReport:
    """Return one run of a report; the inverse of `ntkspec.report.to_json.run_to_json`."""
    config, outputs = node["config"], node["outputs"].integer(1)
    if not isinstance(config.value, dict):
        config.refuse("an object")
    return RunReport(
        path=node["path"].text(),
        label=node["label"].text(),
        samples=node["samples"].integer(1),
        outputs=outputs,
        mode=_mode(node["mode"], outputs),
        snapshots=node["snapshots"].each(_snapshot),
        config=config.value,
        warnings=node["warnings"].each(Node.text),
        inputs=node.optional("inputs", Node.text, None),
        digest=node.optional("digest", Node.text, None),
        place=node.optional("place", Node.text, None),
        origin=node.optional("origin", Node.text, ""),
    )


def _mode(node: Node, outputs: int) -> Outputs:
    """Return the output mode, which says how outputs were combined: a word, or the number of one output."""
    if isinstance(node.value, str):
        return node.one_of(("trace", "full"))
    number = node.integer()
    if number >= outputs:
        node.refuse(f"an output's number below {outputs}")
    return number


def _snapshot(node: Node) -> SnapshotReport:
    spectra = {name: _spectrum(item) for name, item in node["spectra"].items()}
    if "total" not in spectra:
        node["spectra"].refuse("a spectrum 'total'", ", ".join(spectra) or "none")
    return SnapshotReport(
        id=node["id"].text(),
        step=node["step"].integer(),
        label=node["label"].text(),
        metrics={name: item.number(null=math.nan) for name, item in node["metrics"].items()},
        spectra=spectra,
        bounds=node["bounds"].each(lambda item: _bound(item, spectra)),
        checks=node.optional("checks", lambda items: items.each(_check), ()),
        distances=node.optional("kernel_distance", _distances, {}),
        alignments=node.optional(
            "alignment",
            lambda items: {name: _alignment(name, item, spectra) for name, item in items.items()},
            {},
        ),
        no_alignment=node.optional("no_alignment", Node.text, ""),
        eigenfunctions=node.optional("eigenfunctions", _eigenfunctions, None),
    )


def _spectrum(node: Node) -> Spectrum:
    eigenvalues = node["eigenvalues"].numbers(least=0.0)
    size = node["size"].integer(1)
    if not 1 <= len(eigenvalues) <= size:
        node["eigenvalues"].refuse(f"1 to {size} numbers", str(len(eigenvalues)))
    return Spectrum(
        eigenvalues=eigenvalues,
        error=node["error"].numbers(len(eigenvalues), null=math.inf, least=0.0),
        floor=node["floor"].number(null=math.inf, least=0.0),
        size=size,
        trace=node["trace"].number(null=math.inf),
        method=node["method"].text(),  # type: ignore[arg-type]  # whatever other versions have or had
        precision=node["precision"].one_of(get_args(Precision)),
        blocks=node["blocks"].each(Node.text),
        trace_error=node.optional("trace_error", _at_least_0, 0.0),
        reason=node["reason"].text(),
        rank=node.optional("rank", _rank, None),
        regions=node.optional("regions", _regions, None),
    )


def _rank(node: Node) -> Rank:
    return Rank(node["at_most"].integer(), node["reason"].text())


def _regions(node: Node) -> Regions:
    return Regions(
        at_most=node["at_most"].integer(),
        reason=node["reason"].text(),
        independent=node["independent"].integer(),
        rest=node["rest"].number(null=math.inf, least=0.0),
        disobeying=node["disobeying"].each(Node.text),
    )


def _bound(node: Node, spectra: dict[str, Spectrum]) -> CheckedBound:
    side: Side = node["side"].one_of(get_args(Side))
    quantity: Quantity = node["quantity"].one_of(get_args(Quantity))
    of = node["of"].one_of(tuple(spectra))
    tightness = node.optional("tightness", lambda member: member, Node({}, node.file))
    return CheckedBound(
        bound=Bound(
            name=node["name"].text(),
            theorem=node["theorem"].text(),
            source=node.optional("source", Node.text, ""),
            assumptions=node["assumptions"].text(),
            side=side,
            values=node["values"].numbers(
                1 if quantity == "lambda_min" else spectra[of].size,
                null=-math.inf if side == "lower" else math.inf,
            ),
            vacuous=node["vacuous"].flag(),
            quantity=quantity,
            certified=node["certified"].flag(),
        ),
        of=of,
        sources=node["from"].each(Node.text),
        holds=node["holds"].flag(),
        decades_min=tightness.optional("lambda_min", Node.number, None),
        decades_median=tightness.optional("median", Node.number, None),
    )


def _distances(node: Node) -> dict[str, KernelDistance]:
    return {
        name: KernelDistance(
            value=item.optional("value", _at_least_0, None),
            reference=item["from"].text(),
            reason=item["reason"].text(),
        )
        for name, item in node.items()
    }


def _alignment(name: str, node: Node, spectra: dict[str, Spectrum]) -> Alignment:
    if name not in spectra:
        node.refuse("shares in the modes of one of the spectra", name)
    resolved = spectra[name].resolved
    residual = node.optional("residual", lambda shares: shares.numbers(resolved, least=0.0), None)
    return Alignment(
        spectrum=spectra[name],
        target=node["target"].numbers(resolved, least=0.0),
        rest=_at_least_0(node["rest"]),
        kernel_target=node.optional("kernel_target", _at_least_0, None),
        residual=residual,
        residual_rest=None if residual is None else _at_least_0(node["residual_rest"]),
    )


def _eigenfunctions(node: Node) -> ModePictures:
    def read(mode: Node) -> tuple[int, float, float | None]:
        frequency = mode.optional("radial_frequency", _at_least_0, None)
        return mode["mode"].integer(1), _at_least_0(mode["eigenvalue"]), frequency

    modes, eigenvalues, frequencies = zip(*node.each(read), strict=True) if node.value else ((), (), ())
    return ModePictures(modes, eigenvalues, frequencies)


def _check(node: Node) -> Check:
    return Check(
        name=node["name"].text(),
        statement=node["statement"].text(),
        of=node["of"].text(),
        worst=node["worst"].number(null=math.inf),
    )


def _comparison(node: Node) -> Comparison:
    return Comparison(
        of=node["of"].text(),
        snapshot=node["snapshot"].text(),
        run=node["run"].text(),
        baseline=node["baseline"].text(),
        decades=node.optional("decades", Node.number, None),
        qualifier=node["qualifier"].one_of(get_args(Qualifier)),
        quantity=node["quantity"].text(),
    )


def _at_least_0(node: Node) -> float:
    return node.number(least=0.0)


def _meant(comparisons: Sequence[Comparison], runs: Sequence[RunReport]) -> tuple[Comparison, ...]:
    """Return the comparisons of runs that are comparable."""
    named = {run.label: run for run in runs}
    return tuple(
        each
        for each in comparisons
        if comparable(*(named[label] for label in (each.run, each.baseline) if label in named))
    )
