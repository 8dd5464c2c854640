"""Make figures that fit both themes: SVG files with a second set of colours for a dark background.

A page shows such a file as an <img>, in which a browser runs no script. The media query
`prefers-color-scheme` in it follows the page's `color-scheme`, so that one switch changes page and figures.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping

PAPER, INK = "#17181a", "#e8e8e6"  # of the dark theme; page.css has them, too
_LEAST_CONTRAST = 3.0  # of a line on its background, by WCAG 2.2
_PALE = 0.75  # lightness from which a colour is one of paper, grids and bands
_DARKEST, _LIGHTEST = 0.12, 0.92


def both_themes(svg: bytes, dark: Mapping[str, str]) -> bytes:
    """Return the SVG file with a rule for each colour that differs on a dark background.

    Args:
        svg: as matplotlib writes it, without a background; colours are in `style` attributes.
        dark: from a colour (#rrggbb) to that on dark; colours that are missing become as `on_dark` says.
    """
    text = svg.decode()
    rules = [f"svg{{fill:{INK}}}"]  # letters have no style of their own where they are black
    for name, colour in sorted(set(re.findall(r"(fill|stroke): (#[0-9a-f]{6})", text))):
        other = dark.get(colour) or on_dark(colour)
        if other != colour:
            rules.append(f'[style*="{name}: {colour}"]{{{name}:{other}!important}}')
    style = f"<style>@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"
    start = text.index(">", text.index("<svg")) + 1
    return (text[:start] + style + text[start:]).encode()


def on_dark(colour: str) -> str:
    """Return a colour for a dark background: with inverted lightness if it would be too dark or too bright.

    Example:
        >>> on_dark("#000000"), on_dark("#e07818"), on_dark("#ffffff")
        ('#ebebeb', '#e07818', '#1f1f1f')
    """
    red, green, blue = (part / 255 for part in bytes.fromhex(colour[1:]))
    hue, lightness, saturation = colorsys.rgb_to_hls(red, green, blue)
    if lightness <= _PALE and _contrast(colour, PAPER) >= _LEAST_CONTRAST:
        return colour
    inverted = _DARKEST + (_LIGHTEST - _DARKEST) * (1 - lightness)
    parts = colorsys.hls_to_rgb(hue, inverted, saturation)
    return "#" + "".join(f"{round(255 * part):02x}" for part in parts)


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = (part / 255 for part in bytes.fromhex(colour[1:]))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
