"""Looks for what de-identification must not leave: it reads text, and knows nothing of any family.

Independent of the tables and methods on purpose: what one of them forgets, this finds. It needs no
key, so both sides can look.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from validators.deidentify.identity_numbers import is_identity_number

IDENTITY_NUMBER: Final = "identity number"
MOBILE_NUMBER: Final = "mobile number"
NAME: Final = "name"

_IDENTITY: Final = re.compile(
    r"(?<![0-9])([1-9][0-9]{5})[ -]?([0-9]{8})[ -]?([0-9]{3})[ -]?([0-9Xx])(?![0-9])"
)
_MOBILE: Final = re.compile(
    # A decimal's digits are no telephone number; +86 and 0086 may stand before one.
    r"(?<![0-9])(?<![0-9]\.)(?:\+?(?:00)?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])"
)
_HAN: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff·]+")
_HAN_CHARS_MIN: Final = 2
_LETTERS_MIN: Final = 4
_PARTS_MIN: Final = 2


def kinds_in(text: str, names: re.Pattern[str] | None = None) -> tuple[str, ...]:
    """What is found in a text: IDENTITY_NUMBER, MOBILE_NUMBER, NAME; nothing if it is clean."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    found = []
    if any(is_identity_number("".join(each.groups()).upper()) for each in _IDENTITY.finditer(text)):
        found.append(IDENTITY_NUMBER)
    if _MOBILE.search(text):
        found.append(MOBILE_NUMBER)
    if names is not None and names.search(text):
        found.append(NAME)
    return tuple(found)


def pattern_of(people: Iterable[Sequence[str]]) -> re.Pattern[str] | None:
    """What finds the names of some people, each given as the parts of one name; None for nobody.

    A name in Chinese is found anywhere, one in letters as whole words, in any case. Given names of
    one or two characters and parts of fewer than four letters are found with the rest of their name
    only: alone they are words.
    """
    wanted = {spelling for parts in people for spelling in _spellings(parts)}
    if not wanted:
        return None
    return re.compile("|".join(sorted(wanted, key=len, reverse=True)), re.IGNORECASE)


def _spellings(parts: Sequence[str]) -> set[str]:
    clean = [unicodedata.normalize("NFKC", part).strip() for part in parts]
    clean = [part for part in clean if part]
    joined = "".join(clean)
    if _HAN.fullmatch(joined):
        return _han_spellings(clean, joined)
    words = [word for part in clean for word in re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", part)]
    found = {_word(word) for word in words if len(word) >= _LETTERS_MIN}
    if len(words) >= _PARTS_MIN:
        first, last = words[0], words[-1]
        found |= {_words(first, last), _words(last, first)}
    return found


def _han_spellings(parts: Sequence[str], joined: str) -> set[str]:
    found = {joined, "".join(reversed(parts))} if len(joined) >= _HAN_CHARS_MIN else set()
    found |= {part for part in parts if len(part) > _HAN_CHARS_MIN}
    return {re.escape(each) for each in found}


def _word(word: str) -> str:
    return rf"\b{re.escape(word)}\b"


def _words(first: str, second: str) -> str:
    return rf"\b{re.escape(first)}[\W_]{{1,3}}{re.escape(second)}\b"
