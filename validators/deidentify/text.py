"""The text of a payload as a reader of its family sees it, for the look through the whole."""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from validators.hl7v2.header import read_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from validators.hl7v2.separators import Separators
    from validators.policy import ContentPolicy


def reader(content: ContentPolicy) -> Callable[[bytes], str]:
    """What reads payloads that a channel of this content accepted."""
    if content.hl7v2 is not None:
        charset = content.hl7v2.default_charset
        return lambda payload: _hl7_text(payload, charset)
    if content.csv is not None and content.csv.charset == "GB18030":
        return lambda payload: payload.decode("gb18030")
    if content.form is not None:
        codec = "gb18030" if content.form.charset == "GB18030" else "utf-8"
        return lambda payload: unquote_plus(payload.decode("ascii"), codec)
    return lambda payload: payload.decode("utf-8")


def unescaped(text: str, separators: Separators, codec: str) -> str:
    """A text of HL7 v2 as a receiver reads it: a name or number can hide in escape sequences.

    Highlighting and switches of character sets (HL7 v2.5.1, 2.7) show nothing, formatting a space.
    """
    if separators.escape not in text:
        return text
    return _sequences(separators.escape).sub(partial(_read, separators, codec), text)


def _read(separators: Separators, codec: str, found: re.Match[str]) -> str:
    body = found[0].strip(separators.escape)
    match body[:1]:
        case "X" | "x":
            digits = body.replace(separators.escape, "").upper().replace("X", "")
            return bytes.fromhex(digits).decode(codec, "replace")
        case ".":
            return " "
        case "F":
            return separators.field
        case "S":
            return separators.component
        case "R":
            return separators.repetition
        case "T":
            return separators.subcomponent
        case "E":
            return separators.escape
    return ""


@lru_cache(maxsize=8)
def _sequences(escape: str) -> re.Pattern[str]:
    """One sequence; of hexadecimal ones a run, since a character's bytes can stand in several."""
    mark = re.escape(escape)
    hexadecimal = rf"(?:{mark}[Xx](?:[0-9A-Fa-f]{{2}})+{mark})+"
    return re.compile(
        rf"{hexadecimal}|{mark}(?:[FSTREHN]|\.[a-z]{{2}}[+-]?[0-9]{{0,4}}|[CM][0-9A-F]{{4,6}}){mark}"
    )


def _hl7_text(payload: bytes, default_charset: str) -> str:
    header = read_header(payload, default_charset)
    if header is None:
        return payload.decode("latin-1")
    text = payload.decode(header.codec, "replace")
    return unescaped(text, header.separators, header.codec)
