"""Fetch plotly's basic bundle, which every page carries: `python analysis/plotly_bundle.py VERSION`.

Without a version the shipped one is fetched again and compared. npm checks what it downloads against the
registry's own digest; the SHA-256 of the script stands beside the bundle, and a test compares the two.
"""

from __future__ import annotations

import gzip
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from ntkspec.report.page import BUNDLE

PACKAGE = "plotly.js-basic-dist-min"
FOLDER = Path(__file__).parents[1] / "ntkspec" / "report"
LICENCE, DIGEST = "plotly-basic.LICENSE.txt", "plotly-basic.sha256"


def main() -> None:
    """Write bundle, licence and digest into the package, or compare what is there."""
    known, version = shipped()
    wanted = sys.argv[1] if len(sys.argv) > 1 else version
    script, licence = fetch(wanted)
    digest = hashlib.sha256(script).hexdigest()
    if wanted == version and digest != known:
        sys.exit(
            f"{PACKAGE} {version}: expected SHA-256 {known}, got {digest}; find out why before you ship it"
        )
    (FOLDER / BUNDLE).write_bytes(gzip.compress(script, 9, mtime=0))
    (FOLDER / LICENCE).write_bytes(licence)
    (FOLDER / DIGEST).write_text(f"{digest}  {wanted}\n", encoding="ascii")
    size = (FOLDER / BUNDLE).stat().st_size
    print(f"{PACKAGE} {wanted}: {len(script):,} bytes, {size:,} compressed, SHA-256 {digest}")


def shipped() -> tuple[str, str]:
    """Return the SHA-256 of the inflated bundle, in hexadecimal digits, and its version."""
    digest, version = (FOLDER / DIGEST).read_text(encoding="ascii").split()
    return digest, version


def fetch(version: str) -> tuple[bytes, bytes]:
    """Return the script and its licence of a version, as npm delivers them."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}"]
        name = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()[
            -1
        ]
        with tarfile.open(Path(folder) / name) as archive:
            script, licence = map(archive.extractfile, ("package/plotly-basic.min.js", "package/LICENSE"))
            if script is None or licence is None:
                sys.exit(f"{name}: expected the script and its licence as files; look into the package")
            return script.read(), licence.read()


if __name__ == "__main__":
    main()
