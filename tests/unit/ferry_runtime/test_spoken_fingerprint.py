"""Fingerprints as they are read out and typed: every form is taken, and no other key's."""

from __future__ import annotations

import re

import pytest

from ferry_format.keys import KeyKind, PublicKey
from ferry_runtime import spoken_fingerprint
from ferry_runtime.problem_words import Mistake

KEY = PublicKey(KeyKind.SIGN, bytes(32))
OTHER = PublicKey(KeyKind.SIGN, bytes(31) + b"\x01")


def four_letters(key: PublicKey) -> str:
    return " ".join(word[:4] for word in spoken_fingerprint.words(key).split())


FORMS = {
    "words": spoken_fingerprint.words,
    "four letters of each": four_letters,
    "digits": spoken_fingerprint.digits,
    "hex": lambda key: key.fingerprint,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_each_form_is_taken_of_the_key_and_of_no_other(form) -> None:
    spoken_fingerprint.check_typed(KEY, form(KEY))
    spoken_fingerprint.check_typed(KEY, f"  {form(KEY).upper().replace(' ', '-')},\n")
    with pytest.raises(Mistake):
        spoken_fingerprint.check_typed(KEY, form(OTHER))


def test_the_digits_are_the_bytes_of_the_key_id() -> None:
    groups = spoken_fingerprint.digits(KEY).split()
    assert all(re.fullmatch("[0-9]{5}", group) for group in groups)
    assert b"".join(int(group).to_bytes(2, "big") for group in groups) == KEY.key_id[:16]


def swapped(words: list[str]) -> list[str]:
    return [words[1], words[0], *words[2:]]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda words: words[:-1], "11 words were typed"),
        (lambda words: [*words[:4], "zzzz", *words[5:]], "word 5"),
        (swapped, "another key"),
        (lambda words: words[:2], "not the fingerprint"),
        (lambda _: [], "not the fingerprint"),
    ],
)
def test_what_was_misheard_is_told(change, told) -> None:
    words = spoken_fingerprint.words(KEY).split()
    with pytest.raises(Mistake, match=told):
        spoken_fingerprint.check_typed(KEY, " ".join(change(words)))
