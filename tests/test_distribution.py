"""What the distribution says of itself: its long description, and the oldest versions that it allows."""

from __future__ import annotations

import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ntkspec

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TRIED = ("test", "cluster", "study")  # the extras that `make test-oldest` installs

setup = runpy.run_path(str(ROOT / "setup.py"), run_name="setup")
long_description = setup["long_description"]

README = """\
# A name

![A picture](docs/images/a.png)

*What it shows, from `make`.*

See [the manual](docs/manual.md), [its end](docs/manual.md#end), [here](#there) and [elsewhere](https://example.org).
"""


def test_links_to_files_become_text():
    assert long_description(README, "") == (
        "# A name\n\nSee the manual, its end, [here](#there) and [elsewhere](https://example.org).\n"
    )


def test_links_to_files_lead_to_the_repository():
    made = long_description(README, "https://example.org/ntkspec/")
    assert "![A picture](https://example.org/ntkspec/docs/images/a.png)" in made
    assert "[its end](https://example.org/ntkspec/docs/manual.md#end)" in made
    assert made.count("https://example.org") == 4


def test_the_readme_needs_nothing_else():
    made = long_description((ROOT / "README.md").read_text(encoding="utf-8"), "")
    assert "](docs" not in made
    assert "docs/images" not in made
    assert len(made) > 5000


def test_the_oldest_versions_are_those_that_were_tried():
    lines = (ROOT / "constraints-oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    wanted = PROJECT["dependencies"] + [
        each for extra in TRIED for each in PROJECT["optional-dependencies"][extra]
    ]
    for requirement in map(Requirement, wanted):
        (least,) = (each.version for each in requirement.specifier if each.operator == ">=")
        pin = pins[canonicalize_name(requirement.name)]
        assert f"{pin}.".startswith(f"{least}."), requirement


@pytest.mark.parametrize("version", ["3.99", "9"])
def test_a_python_that_is_not_there_is_skipped_visibly(version):
    done = subprocess.run([ROOT / ".ci/test-python", version], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"python{version}: not found, skipped\n")


def test_every_file_names_the_same_version():
    version = ntkspec.__version__
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    released = [
        line for line in changelog.splitlines() if line.startswith("## [") and "Unreleased" not in line
    ]
    assert released[0].startswith(f"## [{version}] - ")
