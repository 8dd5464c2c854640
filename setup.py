"""Give the distribution its long description: README.md without links that work in the repository alone."""

from __future__ import annotations

import re
from pathlib import Path

# Stands before the path of a file in the repository and ends in "/"; "": links to files become plain text.
ADDRESS = ""
PICTURE = re.compile(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n\n\*[^*]+\*\n\n")  # with its caption
LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def long_description(readme: str, address: str = ADDRESS) -> str:
    """Return a Markdown text with absolute links to files of the repository.

    Without an address, these links become plain text, and pictures are left out with the captions below them.
    """
    if address:
        return LINK.sub(rf"[\1]({address}\2)", readme)
    return LINK.sub(r"\1", PICTURE.sub("", readme))


if __name__ == "__main__":
    from setuptools import setup

    setup(
        long_description=long_description(Path("README.md").read_text(encoding="utf-8")),
        long_description_content_type="text/markdown",
    )
