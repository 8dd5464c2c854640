"""Words in backticks: what looks like a name, a file, an option or a target of the project exists."""

from __future__ import annotations

import builtins
import importlib
import json
import re
from functools import cache
from pathlib import Path

import needs
import pytest
from named import NAME, ROOT, WORD, docstrings, exists, members, resolves, sources, words_of

from ntkspec.__main__ import MODULES

HERE = Path(__file__)
CALL = re.compile(r"([\w.]+)(\(.*\))?", re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
FULL_NAME = re.compile(r"(?<![\w/.-])ntkspec(?:\.[A-Za-z_]\w*)+")
FILE = re.compile(r"(?<![\w./<>*-])[\w-][\w./-]*\.(?:cu|js|py|rst|toml|txt)\b")
FOLDERS = ("ntkspec", "analysis", "docs", "tests", "data")
CODE_NAME = re.compile(r"\b(?:[A-Za-z]\w*_\w*|[A-Z][a-z]+[A-Z]\w*|[a-z]\w*(?=[(=]))")
MEMBER = re.compile(r"\b([A-Z]\w+)\.(\w+)")
PATH = re.compile(rf"(?:{'|'.join(FOLDERS)})/[\w/.-]*")
SOURCE_PATH = re.compile(rf"(?<![\w/.~-])(?:{'|'.join(FOLDERS)})/[\w./-]+\w")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
COMMAND = re.compile(r"^python -m ntkspec\.(\w+) ([^#\n]*)", re.MULTILINE)
MAKE = re.compile(r"\bmake((?: [a-z][\w-]*)+)((?: [A-Z]+=\S+)*)")
MADE = re.compile(r"/\.|/_build/|/auto_gallery/|/gallery/runs/|/__pycache__/")
# Options of Dask and SLURM, names of other libraries and systems, files of readers and of benchmarks.
OTHERS = frozenset(
    {
        "--gpus",
        "--job-name",
        "--memory-limit",
        "--nthreads",
        "--nworkers",
        "--port",
        "--time",
        "my.toml",
        "analysis/benchmarks/quick",
    }
    | {"PR_SET_PDEATHSIG", "TorchFunctionMode", "heartbeat_interval", "jax_enable_x64", "log_metrics"}
    | {"RaySamples", "multi_head_attention_forward", "torch.bucketize"}
)


@cache
def files() -> dict[str, Path]:
    """Return the files of the repository by path, but for what is made there."""
    found = [*ROOT.glob("*"), *(path for name in FOLDERS for path in (ROOT / name).rglob("*"))]
    names = {path.relative_to(ROOT).as_posix(): path for path in found}
    return {name: path for name, path in sorted(names.items()) if not MADE.search(name)}


def pages() -> dict[str, str]:
    """Return the texts of the documentation by path, but for the changelog, whose names are of their day."""
    texts = {
        name: path.read_text(encoding="utf-8")
        for name, path in files().items()
        if path.suffix in (".ipynb", ".md", ".rst") and name != "CHANGELOG.md"
    }
    return {name: _words_of_cells(text) if name.endswith(".ipynb") else text for name, text in texts.items()}


def _words_of_cells(notebook: str) -> str:
    """Return a notebook as a page has it: its text, and its code in fences."""
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"])
    return "\n\n".join(f"```\n{text}\n```" if kind == "code" else text for kind, text in cells)


@cache
def vocabulary() -> frozenset[str]:
    """Return all identifiers of the repository's code, names of files, and words of its settings."""
    code = [
        words_of(path.read_text(encoding="utf-8"))
        for path in files().values()
        if path.suffix == ".py" and path != HERE
    ]
    settings = [(ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "pyproject.toml")]
    others = (WORD.findall(text) for text in (*settings, *OTHERS))
    return frozenset(dir(builtins)).union(*code, *others, (path.stem for path in files().values()))


@cache
def tails() -> frozenset[str]:
    """Return every path of a file without its first folders, down to its name alone."""
    return frozenset("/".join(name.split("/")[k:]) for name in files() for k in range(name.count("/") + 1))


def unknown_in_docstring(text, source, around):
    """Yield the words in backticks that look like a name and are none."""
    for word in re.findall(r"`+([^`]+)`+", text):
        call = CALL.fullmatch(word)
        if call and NAME.fullmatch(call[1]) and not resolves(call[1], source, around):
            yield word


def unknown_in_page(text):
    """Yield the names and files in a page that do not exist."""
    own = words_of("\n".join(found[0] for found in FENCED.finditer(text)))
    yield from (name for name in FULL_NAME.findall(text) if not (name.endswith(".h5") or exists(name)))
    for inline in INLINE.findall(FENCED.sub("", text)):
        yield from (name for name in FILE.findall(inline) if name not in tails() | OTHERS)
        if PATH.fullmatch(inline) and not (ROOT / inline).exists():
            yield inline
        yield from (name for name in CODE_NAME.findall(inline) if name not in own | vocabulary())
        for name, member in MEMBER.findall(inline):
            if name in members() and member not in members()[name]:
                yield f"{name}.{member}"


def code_of(text):
    """Yield a page's blocks of code, then each piece of code in a line."""
    yield from (found[0] for found in FENCED.finditer(text))
    yield from INLINE.findall(FENCED.sub("", text))


def test_names_in_docstrings():
    wrong = [
        (".".join([source.name, *(node.name for node in around)]), word)
        for source, around, text in docstrings()
        for word in unknown_in_docstring(text, source, around)
    ]
    assert wrong == []


def test_names_and_files_in_the_documentation():
    assert [(page, word) for page, text in pages().items() for word in unknown_in_page(text)] == []


def test_paths_in_the_sources():
    """In docstrings, comments and messages, with or without backticks."""
    wrong = [
        (name, path)
        for name, file in files().items()
        if file.suffix == ".py" and name.startswith(("ntkspec/", "analysis/"))
        for path in SOURCE_PATH.findall(file.read_text(encoding="utf-8"))
        if not (ROOT / path).exists() and path not in OTHERS
    ]
    assert wrong == []


def test_targets_in_the_documentation():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    settings = set(re.findall(r"^([A-Z]+) .?=", makefile, re.MULTILINE))
    wrong = [
        (page, word)
        for page, text in pages().items()
        for code in code_of(text)
        for names, values in MAKE.findall(code)
        for word in [*names.split(), *re.findall(r"[A-Z]+(?==)", values)]
        if word not in targets | settings
    ]
    assert wrong == []


@needs.torch
def test_options_in_docstrings_and_documentation():
    """Those of a command line are the command's own; one that stands alone is some command's or script's."""
    from analysis.paper.command import SCALE  # which names options

    parsers = {name: importlib.import_module(module).make_parser() for name, module in MODULES.items()}
    known = {option for parser in parsers.values() for option in parser._option_string_actions}
    scripts = [path for name, path in files().items() if name.startswith(("analysis/", "tests/", ".ci/"))]
    code = [path.read_text(encoding="utf-8") for path in scripts if path.suffix == ".py"]
    known.update(OTHERS, *map(OPTION.findall, code), (f"--{name}" for name in SCALE))
    wrong = []
    for page, text in [*pages().items(), *((source.name, text) for source, _, text in docstrings())]:
        for code in code_of(text):
            for name, words in COMMAND.findall(code):
                known_here = parsers[name]._option_string_actions if name in parsers else ()
                wrong += [(page, word) for word in OPTION.findall(words) if word not in known_here]
            wrong += [(page, word) for word in OPTION.findall(code) if word not in known]
    assert wrong == []


WRONG = {
    "`ntkspec.grams`": ["ntkspec.grams"],
    "`ntkspec.bounds.theorem2(a)`": ["ntkspec.bounds.theorem2", "theorem2"],
    "`ntkspec.Spectrum.flor`": ["ntkspec.Spectrum.flor", "Spectrum.flor"],
    "`Spectrum.flor`": ["Spectrum.flor"],
    "`ntkspec/kernels/` and `kernel/from.py`": ["kernel/from.py", "ntkspec/kernels/"],
    "`no_such_name` and `NoSuchName` and `nosuchname(x)`": ["no_such_name", "NoSuchName", "nosuchname"],
    "`lambda_min`, `ntkspec.read_report`, `Spectrum.floor`, `kernel/files.py`, `analysis/paper`": [],
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_name_is_noticed(text):
    assert sorted(unknown_in_page(text)) == sorted(WRONG[text])


@pytest.mark.parametrize(
    ("word", "found"),
    [("gram", True), ("ntkspec.gram", True), ("ntkspec.grams", False), ("grams", False), ("store", True),
     ("store.reader", True), ("store.raeder", False), ("Spectrum.floor", True), ("Spectrum.flor", False),
     ("numpy.array", True)],
)  # fmt: skip
def test_a_wrong_name_in_a_docstring_is_noticed(word, found):
    source = sources()["ntkspec.analyze"]
    assert [*unknown_in_docstring(f"See `{word}`.", source, ())] == ([] if found else [word])
