"""A public key's fingerprint in forms that can be read out, and typed by who hears it.

All of them stand for the same 16 bytes, the first of the key id:

- twelve English words of BIP 39's list, of which four letters each suffice; they carry a check;
- eight groups of five decimal digits, one for each two bytes, 00000 to 65535: for those who read
  digits to each other, in whatever language;
- eight groups of four hex digits, as `PublicKey.fingerprint` shows them.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from mnemonic import Mnemonic

from ferry_format.keys import PublicKey
from ferry_runtime.problem_words import Mistake

_BYTES: Final = 16
_GROUPS: Final = 8
_WORDS: Final = 12
_LETTERS_THAT_TELL: Final = 4
_DIGITS_A_GROUP: Final = 5


def words(key: PublicKey) -> str:
    """The twelve words."""
    return str(_list().to_mnemonic(key.key_id[:_BYTES]))


def digits(key: PublicKey) -> str:
    """The eight groups of decimal digits."""
    pairs = (key.key_id[at : at + 2] for at in range(0, _BYTES, 2))
    return " ".join(f"{int.from_bytes(pair, 'big'):0{_DIGITS_A_GROUP}d}" for pair in pairs)


def lines(key: PublicKey) -> tuple[str, ...]:
    """All three forms, to be shown."""
    return (
        f"fingerprint: {key.fingerprint}",
        f"in words: {words(key)}",
        f"in digits: {digits(key)}",
    )


def check_typed(key: PublicKey, typed: str) -> None:
    """Return if what was typed is this key's fingerprint, in any form. Raises Mistake if not."""
    said = re.findall(r"[a-z0-9]+", typed.lower())
    joined = "".join(said)
    if joined in (key.fingerprint.replace(" ", ""), digits(key).replace(" ", "")):
        return
    if all(word.isalpha() for word in said) and len(said) > _GROUPS:
        _check_words(key, said)
        return
    raise Mistake(
        "this is not the fingerprint of that key",
        "Have it read out again. If it stays so, the file is not the one that was sent: take none "
        "of it, and tell the security administrator",
    )


def _check_words(key: PublicKey, said: list[str]) -> None:
    if len(said) != _WORDS:
        raise Mistake(f"{len(said)} words were typed", f"There are {_WORDS}: type them all")
    known = {_telling(word) for word in _list().wordlist}
    for number, word in enumerate(said, 1):
        if _telling(word) not in known:
            raise Mistake(f"no such word is in the list (word {number})", "Have it spelled")
    if [_telling(word) for word in said] != [_telling(word) for word in words(key).split()]:
        raise Mistake(
            "these are the words of another key",
            "Have them read out again. If it stays so, the file is not the one that was sent: take "
            "none of it, and tell the security administrator",
        )


def _telling(word: str) -> str:
    return word[:_LETTERS_THAT_TELL]


@cache
def _list() -> Mnemonic:
    return Mnemonic("english")
