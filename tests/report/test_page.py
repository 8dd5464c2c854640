"""The page: one file, no way out, every foreign text inert."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from analysis.plotly_bundle import shipped
from ntkspec.report.compare import assemble
from ntkspec.report.figures import captions
from ntkspec.report.html import by_lead, signs
from ntkspec.report.page import bundle, plot_data, render_page
from ntkspec.report.records import Report

from . import samples

DATA = 1  # which script holds the numbers
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&lt;"


class Reader(HTMLParser):
    """Elements with their attributes, and the text of scripts, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._in = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_elsewhere(page: str) -> None:
    reader = Reader(page)
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "srcset", "data", "action"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
    assert not re.search(r"https?://", page)
    assert "url(" not in page[: page.index("</style>")]
    policy = next(
        a["content"] for t, a in reader.elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_files_of_the_folder(page: str, folder: Path) -> None:
    links = [attributes["href"] or "" for tag, attributes in Reader(page).elements if tag == "a"]
    assert len(links) == 3 + 3 * 6
    assert all((folder / link).is_file() for link in links)


def test_figures_load_nothing_either(folder: Path) -> None:
    pictures = list((folder / "figures").glob("*.svg"))
    assert pictures
    for path in pictures:
        for target in re.findall(r'(?:href|src)="([^"]*)"', path.read_text(encoding="utf-8")):
            assert target.startswith(("#", "data:")), target


def test_scripts_are_those_that_the_policy_names(page: str) -> None:
    theme, data, packed, script = Reader(page).scripts
    assert data.startswith("{")
    bundle = gzip.decompress(base64.b64decode(packed)).decode()
    for source in (theme, script, bundle):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page


def test_the_bundle_is_the_one_that_is_named() -> None:
    digest, version = shipped()
    bundle_text = gzip.decompress(base64.b64decode(bundle()[0]))
    assert hashlib.sha256(bundle_text).hexdigest() == digest
    assert f"v{version}".encode() in bundle_text[:200]


def test_pictures_have_words(page: str) -> None:
    images = [attributes for tag, attributes in Reader(page).elements if tag == "img"]
    assert len(images) == 7 + 5  # target and runs; the figures but for that of the pictures
    assert all(image["alt"] for image in images)
    assert page.count("<figcaption>") == 5


def test_plot_data_has_resolved_values_only(page: str, report: Report) -> None:
    data = json.loads(Reader(page).scripts[DATA])
    assert len(data["runs"]) == 6
    for run in data["runs"]:
        for curve in run["curves"]:
            assert len(curve["index"]) == len(curve["value"]) == len(curve["error"]) <= 300
            assert all(value > curve["floor"] for value in curve["value"])
            assert max(curve["index"]) == curve["resolved"]


def test_headline_and_meaning(page: str) -> None:
    text = " ".join(" ".join(Reader(page).text).split())
    assert "MPE (fine)" in text
    assert "unresolved (≤" in text
    assert "How to read this" in text
    assert " vacuous " in text  # in a table; the explanation begins with a capital
    assert "-0.0" not in text


def test_hostile_labels_are_inert() -> None:
    run = samples.grid_run(HOSTILE, 8, 0.5, size=8, note=HOSTILE, **{HOSTILE: HOSTILE})
    end = run.snapshots[-1]
    end = replace(
        end,
        label=HOSTILE,
        id=HOSTILE,
        metrics={HOSTILE: 1.0},
        spectra={**end.spectra, HOSTILE: end.spectra["grid"]},
    )
    run = replace(run, path=HOSTILE, warnings=(HOSTILE, "\x1b[31m lambda_min \0"), snapshots=(end,))
    other = samples.plain_run(HOSTILE + "2", 9, 0.5, size=8)
    report = replace(samples.one_run(run), runs=(run, other), baseline=HOSTILE, producer=HOSTILE)
    page = render_page(report, {})
    reader = Reader(page)
    assert not re.search("[\0-\x08\x0b\x0e-\x1f]", page)  # what terminals obey and HTML forbids
    assert len(reader.scripts) == 4
    assert not [attributes for _, attributes in reader.elements if "onerror" in attributes]
    assert "".join(reader.text).count(HOSTILE) >= 4
    name = json.loads(reader.scripts[DATA])["runs"][0]["name"]
    assert "<" not in name
    assert name.startswith("&lt;/script&gt;")


@pytest.mark.parametrize("size", [1, 5000])
def test_small_and_huge(size: int) -> None:
    page = render_page(samples.one_run(samples.plain_run("x", 12, 0.5, size=size)), {})
    assert len(page) < 6_000_000


def test_captions_name_the_figure_that_shows_more(report: Report, page: str) -> None:
    said = [caption.caption for caption in captions(report).values()]
    assert not [caption for caption in said if "above has" in caption]
    (every,) = {match for text in said for match in re.findall("the figure “(.*?)” has every snapshot", text)}
    (others,) = {
        match for text in said for match in re.findall("the figure “(.*?)” has the other kernels", text)
    }
    assert every == others == "How fast each network learns what"
    assert f">{every}</h2>" in page
    alone = samples.one_run(samples.plain_run("x", 9, 0.5, size=4))
    assert "the other kernels" not in captions(alone)["training"].caption  # there is the total kernel alone
    assert ">How fast the network learns what</h2>" in render_page(alone, {})


def test_no_runs() -> None:
    assert "The report has no runs." in render_page(Report("", "", "cpu", ()), {})


def _text(report: Report) -> str:
    return " ".join(" ".join(Reader(render_page(report, {})).text).split())


def test_reasons_name_kernels_and_snapshots() -> None:
    run = samples.plain_run("x", 9, 0.5, size=8)
    end = run.snapshots[-1]
    spectra = {"total": end.spectra["total"].because("gram resolved 3 of 8")}
    end = replace(end, spectra=spectra, no_alignment="method dual gives no eigenvectors")
    text = _text(samples.one_run(replace(run, snapshots=(*run.snapshots[:-1], end))))
    assert "Method gram: gram resolved 3 of 8 (total at end)." in text
    assert "Method gram: the Gram route resolves what was asked for (total at init, mid)." in text
    assert "where the target lies: method dual gives no eigenvectors (total at end)." in text


def test_many_snapshots_have_fewer_points_each() -> None:
    """Alignments of 400 snapshots take no more than those of 160 in full."""
    run = samples.aligned(samples.one_run(samples.plain_run("x", 9, 0.5, size=512))).runs[0]
    end = run.snapshots[-1]
    many = (replace(end, id=f"s{i:03}", step=i, label=f"s{i}", picture=None) for i in range(400))
    curves = plot_data(samples.one_run(replace(run, snapshots=tuple(many))))["runs"][0]["alignments"]
    assert len(curves) == 400
    assert all(25 <= len(curve["index"]) <= 51 and len(curve["steps"]) == 26 for curve in curves)
    few = plot_data(samples.one_run(run))["runs"][0]["alignments"]
    assert all(len(curve["index"]) > 80 and len(curve["steps"]) == 61 for curve in few)


def test_a_lone_snapshot_is_called_by_its_name() -> None:
    run = samples.plain_run("x", 9, 0.5, size=8)
    report = samples.one_run(replace(run, snapshots=run.snapshots[:1]))
    assert "the speed of the slowest mode, at snapshot init." in _text(report)
    assert "end of training" not in " ".join(caption.caption for caption in captions(report).values())
    assert [group["name"] for group in plot_data(report)["groups"]] == ["init"]


def test_a_zero_kernel_has_words_and_no_curve() -> None:
    run = samples.plain_run("x", 9, 0.5, size=8)
    zero = {"total": samples.spectrum(np.zeros(8), 0.0)}
    report = samples.one_run(replace(run, snapshots=(replace(run.snapshots[-1], spectra=zero),)))
    page = render_page(report, {})
    assert "0 (no gradient)" in page
    assert "Not drawn, because the kernel is exactly zero" in page
    assert 'id="plot"' not in page
    assert plot_data(report)["runs"][0]["curves"] == []


def test_what_users_wrote_is_shown_as_it_is() -> None:
    """Names with signs that our own sentences are given: whole, cut, and in paths of warnings."""
    long = "width >= 64, lambda_0.1, " * 9
    runs = [
        replace(samples.plain_run(label, 9, detail, size=4), path=f"runs/{label}.h5", inputs=label)
        for label, detail in (("b", 0.4), ("lambda_0.1 +-", 0.5), (long, 0.3))
    ]
    page = render_page(assemble(runs, None, "cpu"), {})
    assert not re.search("λ_0|λ_min_|width ≥|0.1 ±", page)
    text = " ".join(Reader(page).text)
    assert "lambda_0.1 +- comes closest" in text
    assert "runs/lambda_0.1 +-.h5: its samples are not those of runs/b.h5; λ_min depends" in text
    assert f"{long[:39]}…" in text


@pytest.mark.parametrize(
    ("text", "written", "shown"),
    [
        ("lambda_min >= 2 of a", [], "λ_min ≥ 2 of a"),
        ("lambda_min of lambda_0 <= 2", ["lambda_0"], "λ_min of lambda_0 ≤ 2"),
        ("lambda_… +- 1; lambda_min", ["+- 1", "lambda_0.1"], "lambda_… +- 1; λ_min"),
        ("a >= 1: b >= 1", ["b >= 12", "a >= 1"], "a >= 1: b ≥ 1"),
    ],
)
def test_only_our_own_words_get_signs(text: str, written: list[str], shown: str) -> None:
    assert signs(text, by_lead(written)).unescape() == shown
