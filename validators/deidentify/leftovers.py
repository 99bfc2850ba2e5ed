"""Looks for what de-identification must not leave: it reads text, and knows nothing of any family.

Independent of the tables and methods on purpose: what one of them forgets, this finds. It needs no
key, so both sides can look.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Self

from validators.deidentify.identity_numbers import is_identity_number

IDENTITY_NUMBER: Final = "identity number"
MOBILE_NUMBER: Final = "mobile number"
NAME: Final = "name"
OWN_NUMBER: Final = "number"

_IDENTITY: Final = re.compile(
    r"(?<![0-9])([1-9][0-9]{5})[ -]?([0-9]{8})[ -]?([0-9]{3})[ -]?([0-9Xx])(?![0-9])"
)
_MOBILE: Final = re.compile(
    # A decimal's digits are no telephone number; +86 and 0086 may stand before one.
    r"(?<![0-9])(?<![0-9]\.)(?:\+?(?:00)?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])"
)
_NUMBER_CHARS_MIN: Final = 11
_HAN: Final = re.compile(r"[\u3400-\u9fff\U00020000-\U0003ffff·]+")
_WORD: Final = re.compile(r"[^\W\d_]+")
_HAN_CHARS_MIN: Final = 2
_TOKEN: Final = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
_TOKEN_CHARS_MIN: Final = 6
_LETTERS_MIN: Final = 4
_GAP_MAX: Final = 3
"""Between two words of one name: a comma and spaces, or an apostrophe."""
_FEW: Final = 50
"""Up to so many names are searched for one by one."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What a message itself says of its people, as it can stand in a text once more.

    A name in Chinese is found anywhere, one in letters as whole words, in any case. Given names of
    one or two characters and words of fewer than four letters are found with the rest of their name
    only: alone they are words. Numbers are found as whole words of six characters or more, one of
    them a digit.
    """

    han: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()  # in lower case
    pairs: frozenset[tuple[str, str]] = frozenset()  # of words that follow each other
    numbers: frozenset[str] = frozenset()  # in lower case
    patients: frozenset[str] = frozenset()  # those of the numbers that are a patient's

    @classmethod
    def of(
        cls,
        people: Iterable[Sequence[str]],
        numbers: Iterable[str] = (),
        patients: Iterable[str] = (),
    ) -> Self:
        """The names of people, each given as the parts of one name, and their numbers."""
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
        return cls(
            frozenset(han),
            frozenset(words),
            frozenset(pairs),
            _telling(numbers),
            _telling(patients),
        )

    def whole(self) -> Self:
        """For whole messages: without words and numbers that may be part of a code or a key."""
        return replace(self, words=frozenset(), numbers=self.patients)

    def number_in(self, text: str) -> bool:
        """Whether one of the numbers stands in a text."""
        if not self.numbers:
            return False
        return any(found[0] in self.numbers for found in _TOKEN.finditer(text.lower()))

    def name_in(self, text: str) -> bool:
        """Whether one of the names stands in a text (NFKC). The time is linear in its length."""
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


NOTHING: Final = Traces()


def kinds_in(text: str, traces: Traces = NOTHING) -> tuple[str, ...]:
    """What is found in a text: IDENTITY_NUMBER and the like; nothing if it is clean."""
    text = _plain(text)
    found = []
    if len(text) >= _NUMBER_CHARS_MIN:
        numbers = ("".join(each.groups()).upper() for each in _IDENTITY.finditer(text))
        if any(map(is_identity_number, numbers)):
            found.append(IDENTITY_NUMBER)
        if _MOBILE.search(text):
            found.append(MOBILE_NUMBER)
    if traces.name_in(text):
        found.append(NAME)
    if traces.number_in(text):
        found.append(OWN_NUMBER)
    return tuple(found)


def _plain(text: str) -> str:
    """Full-width digits and letters as plain ones."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text)


def _han_spellings(parts: list[str]) -> set[str]:
    joined = "".join(parts)
    found = {joined, "".join(reversed(parts))} if len(joined) >= _HAN_CHARS_MIN else set()
    return found | {part for part in parts if len(part) > _HAN_CHARS_MIN}


def _telling(numbers: Iterable[str]) -> frozenset[str]:
    """Of numbers, those long enough to be nobody else's."""
    plain = (_plain(number).strip().lower() for number in numbers)
    return frozenset(
        each
        for each in plain
        if len(each) >= _TOKEN_CHARS_MIN
        and _TOKEN.fullmatch(each)
        and any(character.isdigit() for character in each)
    )
