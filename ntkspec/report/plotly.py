"""Read plotly's basic bundle as it is shipped: compressed, also in the page, which inflates it."""

from __future__ import annotations

import base64
import gzip
import hashlib
from importlib.resources import files

BUNDLE, LICENCE, DIGEST = "plotly-basic.min.js.gz", "plotly-basic.LICENSE.txt", "plotly-basic.sha256"


def shipped() -> tuple[str, str]:
    """Return the SHA-256 of the inflated bundle, in hexadecimal digits, and its version.

    Example:
        >>> digest, version = shipped()
        >>> len(digest), version.split(".")[0]
        (64, '4')
    """
    digest, version = (files(__package__) / DIGEST).read_text(encoding="ascii").split()
    return digest, version


def bundle() -> tuple[str, str]:
    """Return the compressed bundle in base64, and the base64 SHA-256 of what it inflates to.

    The page's content security policy names this digest, so that a browser runs the inflated script.

    Example:
        >>> packed, digest = bundle()
        >>> len(packed) < 600_000, len(digest)
        (True, 44)
    """
    packed = (files(__package__) / BUNDLE).read_bytes()
    digest = hashlib.sha256(gzip.decompress(packed)).digest()
    return base64.b64encode(packed).decode(), base64.b64encode(digest).decode()
