"""Measures of the code's words and of its facts in several places, for a revision or for the working tree.

python analysis/studies/code_measures.py              # the working tree
python analysis/studies/code_measures.py --at 52c1029 # as it was at a commit
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

Function = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).parents[2]
# First words of docstrings that are verbs in the imperative; whatever is not here counts as no verb.
VERBS = frozenset((ROOT / "analysis" / "studies" / "verbs.txt").read_text(encoding="utf-8").split())
EMPTY_REMEDIES = re.compile(
    r"\A(?:choose|name|give|use|take|write) (?:one|some|another|any|all) ?(?:of (?:these|them|those))?\Z"
    r"|\A(?:change|convert|correct|fix|mend|check|write) it\Z|\Atry again\Z"
)


@dataclass(frozen=True)
class Measures:
    """What is counted; shares are of 1."""

    revision: str
    docstrings: int  # of functions and methods, but for "See `Base.method`."
    verb_first: float  # share of them that begin with a verb
    examples: int  # lines of ">>>" in docstrings
    public_without_example: tuple[str, ...]  # names that `ntkspec` exports
    remedies: int  # literal ones of errors
    empty_remedies: tuple[str, ...]
    import_circles: tuple[tuple[str, ...], ...]
    files_of_a_bound: int  # that name the bound that is named in the most files
    files_of_a_figure: int
    files_of_a_metric: int
    lines_of_package: int
    lines_of_analysis: int
    lines_of_study: int  # analysis/paper
    any_per_function: float
    longest_file: tuple[str, int]
    longest_function: tuple[str, int]
    median_function: float  # lines
    riddles: dict[str, int]  # locals whose names say nothing


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--at", metavar="COMMIT", help="a revision (default: the working tree)")
    options = parser.parse_args()
    if options.at is None:
        found = measures(ROOT, "working tree")
    else:
        packed = subprocess.run(
            ["git", "archive", options.at, "ntkspec", "analysis"], cwd=ROOT, check=True, capture_output=True
        )
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
                archive.extractall(folder, filter="data")
            found = measures(Path(folder), options.at)
    print(json.dumps(asdict(found), indent=1))


def measures(root: Path, revision: str) -> Measures:
    """Measure the package and the analysis below a folder.

    Args:
        root: holds ntkspec and analysis.
        revision: what to call them.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in sorted((root / "ntkspec").rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    functions = [
        (path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, Function)
    ]
    docs = [doc for _, node in functions if (doc := ast.get_docstring(node)) and not doc.startswith("See `")]
    remedies = [remedy for tree in trees.values() for remedy in _remedies(tree)]
    longest = max(functions, key=lambda pair: _length(pair[1]))
    return Measures(
        revision=revision,
        docstrings=len(docs),
        verb_first=round(sum(_verb_first(doc) for doc in docs) / len(docs), 3),
        examples=sum(text.count(">>> ") for text in texts.values()),
        public_without_example=tuple(_without_example(root)),
        remedies=len(remedies),
        empty_remedies=tuple(remedy for remedy in remedies if EMPTY_REMEDIES.match(remedy)),
        import_circles=tuple(circles(root)),
        files_of_a_bound=_most_files(trees, _bounds(trees)),
        files_of_a_figure=_files_of_figure(trees, "panels"),
        files_of_a_metric=_most_files(trees, ("psnr_db_held_out", "ms_ssim", "iou", "chamfer")),
        lines_of_package=_lines(root / "ntkspec"),
        lines_of_analysis=_lines(root / "analysis"),
        lines_of_study=_lines(root / "analysis" / "paper"),
        any_per_function=round(sum(_anys(node) for _, node in functions) / len(functions), 3),
        longest_file=max(
            ((path.relative_to(root).as_posix(), text.count("\n")) for path, text in texts.items()),
            key=lambda f: f[1],
        ),
        longest_function=(f"{longest[0].relative_to(root)}: {longest[1].name}", _length(longest[1])),
        median_function=statistics.median(_length(node) for _, node in functions),
        riddles=_locals(trees.values(), ("found", "each", "held", "said", "known", "given", "those")),
    )


def circles(root: Path) -> list[tuple[str, ...]]:
    """Return the sets of modules of `ntkspec` that import each other in a circle, wherever the imports stand.

    Args:
        root: holds the package.
    """
    names, importing = _imports(root)
    count, labels = connected_components(importing, directed=True, connection="strong")
    members = [
        tuple(name for name, label in zip(names, labels, strict=True) if label == i) for i in range(count)
    ]
    return sorted(circle for circle in members if len(circle) > 1)


def _imports(root: Path) -> tuple[list[str], csr_array]:
    """Return the modules, and which of them (rows) imports which (columns)."""
    script = """
import grimp, json
graph = grimp.build_graph("ntkspec", cache_dir=None)
print(json.dumps({name: sorted(graph.find_modules_directly_imported_by(name)) for name in graph.modules}))
"""
    imports: dict[str, list[str]] = json.loads(_python(script, root))
    names = sorted(imports)
    places = {name: place for place, name in enumerate(names)}
    pairs = [(places[name], places[other]) for name in names for other in imports[name]]
    rows, columns = zip(*pairs, strict=True)
    return names, csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(names)))


def _verb_first(doc: str) -> bool:
    return doc.split()[0].strip(",.:;").lower() in VERBS


def _remedies(tree: ast.AST) -> Iterator[str]:
    """Yield the remedies that errors are given as plain strings."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="remedy", value=ast.Constant(value=str(remedy))):
                yield remedy


def _without_example(root: Path) -> list[str]:
    """Return the public names, those of the bounds included, that no example shows."""
    script = """
import inspect, json, ntkspec
names = {name: getattr(ntkspec, name) for name in ntkspec.HOMES}
names.update({f"bounds.{name}": getattr(ntkspec.bounds, name) for name in ntkspec.bounds.__all__})
def docs(thing):
    yield thing.__doc__ or ""
    if inspect.isclass(thing):
        yield from (getattr(member, "__doc__", "") or "" for member in vars(thing).values())
print(json.dumps([name for name, thing in names.items() if not any(">>>" in doc for doc in docs(thing))]))
"""
    return [str(name) for name in json.loads(_python(script, root))]


def _python(script: str, root: Path) -> str:
    """Return what a script prints that imports the package below a folder."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", script]
    return subprocess.run(
        command, cwd=root, env=environment, check=True, capture_output=True, text=True
    ).stdout


def _bounds(trees: Mapping[Path, ast.Module]) -> tuple[str, ...]:
    """Return the names of the functions that make a bound: that return one, or are decorated by `stated`."""
    functions = [node for tree in trees.values() for node in tree.body if isinstance(node, ast.FunctionDef)]
    return tuple(
        node.name
        for node in functions
        if not node.name.startswith("_")
        and (
            (isinstance(node.returns, ast.Name) and node.returns.id == "Bound")
            or any("stated(" in ast.unparse(decorator) for decorator in node.decorator_list)
        )
    )


def _most_files(trees: Mapping[Path, ast.AST], names: Sequence[str]) -> int:
    """Return in how many files a name stands, as a name or a string of its own; of these the largest."""
    words = [{word for node in ast.walk(tree) for word in _words_of(node)} for tree in trees.values()]
    return max(sum(name in of_file for of_file in words) for name in names)


def _files_of_figure(trees: Mapping[Path, ast.AST], name: str) -> int:
    """Return in how many files of reports a figure's name stands as a string, or is the file's own name."""
    return sum(
        path.stem == name
        or any(isinstance(node, ast.Constant) and node.value == name for node in ast.walk(tree))
        for path, tree in trees.items()
        if "report" in path.parts
    )


def _words_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word) | ast.alias(name=word) | ast.FunctionDef(name=word):
            yield word
        case ast.Constant(value=str(word)):
            yield word


def _lines(folder: Path) -> int:
    """Count the lines of Python below a folder, but for hidden folders such as .venv."""
    ours = (
        p for p in folder.rglob("*.py") if not any(part[0] == "." for part in p.relative_to(folder).parts)
    )
    return sum(path.read_text(encoding="utf-8").count("\n") for path in ours)


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _anys(node: Function) -> int:
    """Count `Any` in the types of a function's arguments and result."""
    arguments = [
        *node.args.posonlyargs,
        *node.args.args,
        *node.args.kwonlyargs,
        node.args.vararg,
        node.args.kwarg,
    ]
    types = [*(argument.annotation for argument in arguments if argument), node.returns]
    return sum(
        isinstance(part, ast.Name) and part.id == "Any" for kind in types if kind for part in ast.walk(kind)
    )


def _locals(trees: Iterable[ast.Module], names: Sequence[str]) -> dict[str, int]:
    """Count the places where such a name is bound."""
    bound = Counter(
        node.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    )
    return {name: bound[name] for name in names}


if __name__ == "__main__":
    main()
