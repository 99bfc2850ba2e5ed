"""Looks for what de-identification must not leave: it reads text, and knows nothing of any family.

Independent of the tables and methods on purpose: what one of them forgets, this finds. It needs no
key, so both sides can look.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

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
_WORD: Final = re.compile(r"[^\W\d_]+")
_HAN_CHARS_MIN: Final = 2
_LETTERS_MIN: Final = 4
_GAP_MAX: Final = 3
"""Between two words of one name: a comma and spaces, or an apostrophe."""
_FEW: Final = 50
"""Up to so many names are searched for one by one."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of some people, as they can stand in a text.

    A name in Chinese is found anywhere, one in letters as whole words, in any case. Given names of
    one or two characters and words of fewer than four letters are found with the rest of their name
    only: alone they are words.
    """

    han: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # in lower case
    pairs: frozenset[tuple[str, str]] = frozenset()  # of words that follow each other

    @classmethod
    def of(cls, people: Iterable[Sequence[str]]) -> Self:
        """The names of people, each given as the parts of one name."""
        han: set[str] = set()
        words: set[str] = set()
        pairs: set[tuple[str, str]] = set()
        for parts in people:
            clean = [_plain(part).strip() for part in parts]
            if _HAN.fullmatch("".join(clean)):
                han |= _han_spellings([part for part in clean if part])
                continue
            found = _WORD.findall(" ".join(clean).lower())
            words.update(word for word in found if len(word) >= _LETTERS_MIN)
            if len(found) > 1:
                pairs |= {*pairwise(found), (found[0], found[-1]), (found[-1], found[0])}
        return cls(frozenset(han), frozenset(words), frozenset(pairs))

    def whole(self) -> Names:
        """Without single words, which may be part of a code or a key: for whole messages."""
        return Names(self.han, frozenset(), self.pairs)

    def found_in(self, text: str) -> bool:
        """Whether one of them stands in a text (NFKC). The time is linear in its length."""
        if self._has_han(text):
            return True
        if not self.words and not self.pairs:
            return False
        before, end = "", 0
        for found in _WORD.finditer(text.lower()):
            word = found[0]
            if word in self.words:
                return True
            if found.start() - end <= _GAP_MAX and (before, word) in self.pairs:
                return True
            before, end = word, found.end()
        return False

    def _has_han(self, text: str) -> bool:
        if len(self.han) <= _FEW:
            return any(name in text for name in self.han)
        lengths = {len(name) for name in self.han}
        return any(
            run[start : start + length] in self.han
            for run in _HAN.findall(text)
            for length in lengths
            for start in range(len(run) - length + 1)
        )


NOBODY: Final = Names()


def kinds_in(text: str, names: Names = NOBODY) -> tuple[str, ...]:
    """What is found in a text: IDENTITY_NUMBER, MOBILE_NUMBER, NAME; nothing if it is clean."""
    text = _plain(text)
    found = []
    if any(is_identity_number("".join(each.groups()).upper()) for each in _IDENTITY.finditer(text)):
        found.append(IDENTITY_NUMBER)
    if _MOBILE.search(text):
        found.append(MOBILE_NUMBER)
    if names.found_in(text):
        found.append(NAME)
    return tuple(found)


def _plain(text: str) -> str:
    """Full-width digits and letters as plain ones."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _han_spellings(parts: list[str]) -> set[str]:
    joined = "".join(parts)
    found = {joined, "".join(reversed(parts))} if len(joined) >= _HAN_CHARS_MIN else set()
    return found | {part for part in parts if len(part) > _HAN_CHARS_MIN}
