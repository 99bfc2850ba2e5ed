"""The text of a payload as a reader of its family sees it, for the look through the whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from validators.hl7v2.header import read_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from validators.policy import ContentPolicy

_HEXADECIMAL: Final = r"[Xx]((?:[0-9A-Fa-f]{2})+)"


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


def _hl7_text(payload: bytes, default_charset: str) -> str:
    """The text with its hexadecimal escapes resolved: a number can be written in them."""
    header = read_header(payload, default_charset)
    if header is None:
        return payload.decode("latin-1")
    text = payload.decode(header.codec, "replace")
    escape = re.escape(header.separators.escape)
    return re.sub(
        f"{escape}{_HEXADECIMAL}{escape}",
        lambda found: bytes.fromhex(found[1]).decode(header.codec, "replace"),
        text,
    )
