"""Characters that may not cross in any text family.

A control character can end a frame or a record for somebody downstream. A direction-changing one
makes people read other text than programs do. An invisible one makes two names look alike.
Zero-width joiner and non-joiner stay: scripts need them. TAB, CR and LF are each family's matter
and are not in this table.
"""

from __future__ import annotations

import re
from typing import Final

_FORBIDDEN_CLASS: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f"  # C0 without TAB, LF, CR
    "\x7f-\x9f"  # DEL, C1 (NEL among them)
    "\u061c\u200e\u200f"  # direction marks
    "\u200b\u2060-\u2064"  # zero-width space, word joiner, invisible operators
    "\u2028\u2029"  # line and paragraph separator
    "\u202a-\u202e\u2066-\u206f"  # embeddings, overrides, isolates, deprecated format characters
    "\ufeff\ufff9-\ufffb"  # byte order mark, interlinear annotation
    "\ud800-\udfff"  # lone surrogates
    "\ufdd0-\ufdef"  # noncharacters
    + "".join(
        f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
    )
    + "\U000e0000-\U000e007f"  # tags
)
_FORBIDDEN: Final = re.compile(f"[{_FORBIDDEN_CLASS}]")
_ORDINARY_SPACES: Final = ("\r", "\n", "\t", "\u3000")
"""Spaces that isprintable calls unprintable and that every text may hold."""


def find_forbidden(text: str) -> int | None:
    """Return the index of the first character that may not cross, or None.

    str.isprintable is False for every forbidden character (each is of category Cc, Cf, Cn, Cs, Zl
    or Zp) and many times faster than the pattern, so the pattern runs only on what fails it once
    the usual harmless spaces are aside: about 20 µs instead of 100 µs for 2 kB of Chinese text.
    """
    if text.isprintable():
        return None
    ordinary = text
    for space in _ORDINARY_SPACES:
        ordinary = ordinary.replace(space, "")
    if ordinary.isprintable():
        return None
    found = _FORBIDDEN.search(text)
    return None if found is None else found.start()
