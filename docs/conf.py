"""Settings of the documentation site, which `make site` builds with Sphinx."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy.typing
from jupyter_client.manager import KernelManager
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "gallery")]  # the package as it is here; the gallery's run files
KernelManager.transport_encryption.default_value = "auto"  # a notebook and its kernel talk over TCP

T = TypeVar("T")


class NDArray(Generic[T]):
    """Stands in for NumPy's alias, which signatures would spell out."""


class ArrayLike:
    """Stands in for NumPy's alias, of a dozen types."""


for alias in (NDArray, ArrayLike):
    alias.__module__ = "numpy.typing"
    setattr(numpy.typing, alias.__name__, alias)

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of what runs here: small networks gain nothing from more
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

project = "ntkspec"
author = copyright = "The ntkspec developers"
release = version = runpy.run_path(str(HERE.parent / "ntkspec" / "_version.py"))["__version__"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery", "auto_gallery/*.ipynb", "**/.ipynb_checkpoints"]
nitpicky = True
nitpick_ignore_regex = [
    (r"py:obj", r"(?s).*"),  # words in backticks, which tests/test_backticks.py looks up
    (r"py:class", r"(?!ntkspec\.).*"),  # types of NumPy, PyTorch and Python, whose sites a build cannot ask
    (r"py:class", r".*\.(Backend|Factor|Numbers|Option|Stored)"),  # types that signatures name, not for users
]
default_role = "py:obj"
suppress_warnings = ["ref.python"]  # a word in backticks that several classes have as an attribute

html_theme = "furo"
html_title = "ntkspec"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False

autodoc_member_order = "bysource"
autodoc_mock_imports = ["lightning"]
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
maximum_signature_line_length = 88
# Texts of the first two may contain colons, before which Napoleon would look for a type.
napoleon_custom_sections = ["Source", "Returns", ("Fields", "params_style")]

myst_heading_anchors = 4
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_in_temp = True
nb_execution_timeout = 120
nb_merge_streams = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"runs\.py$",
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "image_srcset": ["2x"],
    "show_signature": False,
    "within_subsection_order": "FileNameSortKey",
}

copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True

FIELD = re.compile(r"    ([a-z]\w*): [^#]+?  # (.+)")
SECTION = re.compile(r"(Args|Raises|Returns|Yields|Example|Source):")


def setup(app: Sphinx) -> None:
    """Let docstrings and links be read as they are meant in the sources."""
    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # before Napoleon
    app.connect("source-read", link_to_repository)


def read_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make reStructuredText of a docstring, and list the fields of a dataclass with their comments."""
    lines[:] = list(_as_they_stand(lines))
    if what == "class" and dataclasses.is_dataclass(obj):
        fields = list(_commented_fields(obj))
        lines += ["", "Fields:", *fields] if fields else []
    if what == "property":  # Napoleon takes what stands before its first colon for the type
        lines[:] = ["..", "", *GoogleDocstring(lines, app.config, app, "method", name, obj).lines()]


def _as_they_stand(lines: list[str]) -> Iterator[str]:
    """Mark formulas, which are indented, and escape bars, which would be substitutions."""
    formula = section = False
    for line in lines:
        section = section or bool(SECTION.fullmatch(line))
        indented = line.startswith("    ") and not section
        if indented and not formula:
            yield from ("::", "")
        formula = indented or (formula and not line.strip())
        code = formula or line.lstrip().startswith((">>>", "..."))
        yield line if code else line.replace("|", r"\|")


def _commented_fields(cls: Any) -> Iterator[str]:
    """Yield a line of a "Fields" section for each field that has a comment beside it."""
    names = {field.name for field in dataclasses.fields(cls)}
    for line in inspect.getsource(cls).splitlines():
        found = FIELD.fullmatch(line)
        if found and found[1] in names:
            yield f"    {found[1]}: {found[2]}".replace("|", r"\|")


def link_to_repository(app: Sphinx, page: str, source: list[str]) -> None:
    """Offer pages of the repository that are not part of the site for download."""
    source[0] = re.sub(r"\]\((\.\./[\w/]+/README\.md)\)", r"](path:\1)", source[0])
