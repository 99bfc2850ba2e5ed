"""MSH-1 and MSH-2: the separators that a message itself declares."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SEGMENT_END: Final = "\r"
# Without . + - (escape sequences and numbers hold them) and " (two of them are HL7's null).
_PUNCTUATION: Final = frozenset("!#$%&'()*,/:;<=>?@[\\]^_`{|}~")
_ENCODING_CHARS_LENGTHS: Final = (4, 5)
_DECLARATION_CHARS: Final = 10
"""MSH, MSH-1, and one more than MSH-2 may have."""


@dataclass(frozen=True, slots=True)
class Separators:
    """Distinct ASCII punctuation. `truncation` (v2.7) separates nothing; empty if not declared."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str
    truncation: str = ""

    @property
    def encoding_characters(self) -> str:
        """MSH-2 as sent."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


def read_separators(text: str) -> Separators | None:
    """Return the separators that follow "MSH" at the start of `text`, or None if they are unusable.

    HL7 v2.5.1 2.5.4 and v2.7 2.5.5.2: four characters, or five with the truncation character. They
    must differ from each other; letters, digits and non-ASCII are refused, since they would split
    ordinary words.
    """
    return _declared(text[:_DECLARATION_CHARS])


# Nearly all messages of a site declare the same ones: 5 µs a look, five looks a message.
@lru_cache(maxsize=64)
def _declared(text: str) -> Separators | None:
    if not text.startswith("MSH") or len(text) < len("MSH|^~\\&"):
        return None
    field = text[3]
    encoding_characters = text[4:].split(field, 1)[0].split(SEGMENT_END, 1)[0]
    declared = field + encoding_characters
    if len(encoding_characters) not in _ENCODING_CHARS_LENGTHS:
        return None
    if len(set(declared)) != len(declared) or not _PUNCTUATION.issuperset(declared):
        return None
    return Separators(field, *encoding_characters)
