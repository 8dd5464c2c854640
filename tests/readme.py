"""Run the README's code blocks as they stand, in order, in a fresh checkout of the tracked files.

`make test` is left out: whoever runs this runs that too. Exits 1 at the first block that fails.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT_OUT = ("make test",)


def checkout(folder: Path) -> None:
    """The tracked files as they are now, with the environment that is already set up."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    (folder / ".venv.stamp").touch()


def commands(language: str, body: str) -> list[list[str]]:
    """What to run for a block: a Python block as one script, a shell block line by line."""
    if language == "python":
        return [[sys.executable, "-c", body]]
    lines = [line.partition("#")[0].strip() for line in body.splitlines()]
    return [["bash", "-ec", line] for line in lines if line and not line.startswith(LEFT_OUT)]


def main() -> int:
    """Run all blocks."""
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as name:
        checkout(Path(name))
        for language, body in blocks:
            for command in commands(language, body):
                print(f"+ {command[-1].strip()}", flush=True)
                done = subprocess.run(command, cwd=name, env=environment, check=False)
                if done.returncode:
                    print(f"README: this failed with exit code {done.returncode}", file=sys.stderr)
                    return 1
        for promised in ("demo/report/index.html", "run-report/index.html", "two-report/report.json"):
            if not (Path(name) / promised).stat().st_size:
                return 1
    print(f"README: {len(blocks)} blocks run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
