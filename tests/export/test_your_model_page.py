"""docs/your-model.md: its code runs and prints what it says, and every line of its table is so."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import uses_zoo as zoo
from torch import Tensor, nn

from ntkspec.export import ExportWarning, forecast, foretold

torch.set_num_threads(1)
PAGE = (Path(__file__).parents[2] / "docs" / "your-model.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^\| `([^`]+)`.* \| (factors|sparse|dense) \| (grid|network) \|$", re.MULTILINE)
SECONDS = re.compile(r", about \d+ \w+$", re.MULTILINE)


class Trained(nn.Module):
    """What the table calls `self`, and a layer behind it."""

    def __init__(self, written: str) -> None:
        super().__init__()
        shapes = {"table": (5000, 4), "plane": (1, 4, 30, 30), "volume": (1, 4, 9, 9, 9), "matrix": (2, 4)}
        for name, shape in {**shapes, "bias": (4,), "large": (60_000, 4)}.items():
            self._own(written, name, nn.Parameter(torch.randn(shape)))
        self._own(written, "phases", nn.Parameter(torch.randn(2, 4, dtype=torch.complex64)))
        modules = {"linear": nn.Linear(2, 4), "square": nn.Linear(2, 2), "conv": nn.Conv1d(1, 4, 1)}
        modules |= {"embedding": nn.Embedding(5000, 4), "norm": nn.LayerNorm(2)}
        modules |= {"normed": nn.utils.parametrizations.weight_norm(nn.Linear(2, 4))}
        for name, module in modules.items():
            self._own(written, name, module)
        self.written = compile(written, "docs/your-model.md", "eval")
        self.sampled = "grid_sample" in written
        with torch.no_grad():
            self.behind = nn.Linear(self.read(torch.rand(1, 2)).shape[1], 3)

    def _own(self, written: str, name: str, value: nn.Module | nn.Parameter) -> None:
        if f"self.{name}" in written:
            setattr(self, name, value)

    def read(self, x: Tensor) -> Tensor:
        """What is written, a row for each sample."""
        names: dict[str, Any] = {"self": self, "x": x, "torch": torch, "F": F, "OwnLookup": zoo.OwnLookup}
        names["rows"] = ((x * 49).long() @ torch.tensor([1, 50]))[:, None] + torch.arange(4) * 50
        names["code"] = torch.full((1, 2), 0.5)
        names["points"] = (x * 2 - 1).view(1, -1, 1, 2)
        found: Tensor = eval(self.written, names)
        return found.flatten(2)[0].T if self.sampled else found.reshape(len(x), -1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.behind(torch.tanh(self.read(x)))
        return out


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("written", LINE.findall(PAGE), ids=lambda line: line[0])
def test_every_line_of_the_table(written: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foretold, "TIMED_SECONDS", 0)
    code, kind, role = written
    torch.manual_seed(5)
    blocks = forecast(Trained(code), torch.rand(20, 2)).blocks
    of_line = {(block.kind, block.role) for block in blocks if block.name.split(".")[0] != "behind"}
    # A bias beside what the line is about is in factors, whatever that is.
    assert of_line - ({("factors", "network")} if kind == "dense" else set()) == {(kind, role)}


def test_every_line_is_found() -> None:
    table = PAGE.split("| written as |")[1].split("\n\n")[0].splitlines()
    assert len(LINE.findall(PAGE)) == sum(not line.endswith("| | |") for line in table[2:])


def test_the_code_prints_what_the_page_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE)
    names: dict[str, Any] = {"__name__": "page"}
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExportWarning)
        for kind, body in blocks:
            if kind == "python":
                exec(body, names)
    printed = SECONDS.sub("", capsys.readouterr().out)
    assert printed == SECONDS.sub("", "".join(body for kind, body in blocks if kind == "text"))
