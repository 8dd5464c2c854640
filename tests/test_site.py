"""The documentation site's sources: every public name and every page has its place. `make site` builds it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path

import needs

import ntkspec
import ntkspec.export
import ntkspec.plot

DOCS = Path(ntkspec.__file__).parents[1] / "docs"
MADE = {"_build", "auto_gallery", "gallery"}  # by the build, or pages that it makes of scripts
MODULES = {
    "ntkspec": ntkspec,
    "ntkspec.bounds": ntkspec.bounds,
    "ntkspec.export": ntkspec.export,
    "ntkspec.plot": ntkspec.plot,
}
PUBLIC = [
    f"{module}.{name}"
    for module, room in MODULES.items()
    for name in room.__all__
    if f"{module}.{name}" not in MODULES and not name.startswith("__")
]
SUFFIXES = {".md", ".rst", ".ipynb"}
DIRECTIVE = re.compile(r"^\.\. (currentmodule|automodule|auto\w+):: ([\w.]+)", re.MULTILINE)
TOCTREE = re.compile(
    r"^```\{toctree\}\n(.*?)^```$|^\.\. toctree::\n((?:\n|   .*\n)+)", re.MULTILINE | re.DOTALL
)
ENTRY = re.compile(r"^(?:.*<(.+)>|([\w/*-]+))$")


def documented() -> Iterator[str]:
    """Yield the full names that the reference describes."""
    for page in (DOCS / "api").glob("*.rst"):
        module = ""
        for kind, name in DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if kind.endswith("module"):
                module = name
            else:
                yield name if name.startswith("ntkspec.") else f"{module}.{name}"


def in_toctrees() -> Iterator[str]:
    """Yield the pages that a table of contents names, as paths below docs without suffix."""
    for page in pages():
        for found in TOCTREE.findall(page.read_text(encoding="utf-8")):
            for line in map(str.strip, "".join(found).splitlines()):
                entry = ENTRY.match(line)
                if entry and not line.startswith(":"):
                    target = entry[1] or entry[2]
                    if target.startswith("auto_gallery/"):
                        continue
                    named = [path for path in page.parent.glob(f"{target}.*") if path.suffix in SUFFIXES]
                    assert named, f"{page}: {target} is no page"
                    yield from (str(path.relative_to(DOCS).with_suffix("")) for path in named)


def pages() -> list[Path]:
    """Return all pages of the site but those that are made of scripts."""
    found = [path for path in sorted(DOCS.rglob("*")) if path.suffix in SUFFIXES]
    return [path for path in found if path.relative_to(DOCS).parts[0] not in MADE]


def test_every_public_name_is_in_the_reference_once():
    named = list(documented())
    assert sorted(set(PUBLIC) - set(named)) == []
    assert sorted({name for name in named if named.count(name) > 1}) == []


@needs.torch
def test_every_public_name_has_an_example():
    """They run in tests/test_examples.py."""
    values = {
        f"{module}.{name}": getattr(room, name) for module, room in MODULES.items() for name in room.__all__
    }
    assert [name for name in PUBLIC if ">>>" not in (inspect.getdoc(values[name]) or "")] == []


def test_every_page_is_in_a_table_of_contents():
    """All of docs, decisions included; the front page stands above them."""
    everything = {str(path.relative_to(DOCS).with_suffix("")) for path in pages()}
    assert everything - set(in_toctrees()) == {"index"}


def test_the_notebook_is_committed_without_outputs():
    cells = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
