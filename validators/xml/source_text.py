"""From bytes to the text of one root element, before any parser sees it.

The prolog (XML 1.0, production 22) is read here and goes: byte order mark, XML declaration,
comments, processing instructions. A document type declaration can stand nowhere else, so what is
left holds none, and with it no entity but the five that XML predefines.
"""

from __future__ import annotations

import re
from typing import Final

from ferry_format.reasons import (
    CHARSET_NOT_ALLOWED,
    DOCTYPE_NOT_ALLOWED,
    NOT_DECODABLE,
    NOT_WELL_FORMED,
    PROCESSING_INSTRUCTION_NOT_ALLOWED,
    VERSION_NOT_ALLOWED,
    Refused,
)

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_UTF_16_OR_32: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00", b"<\x00")
_DECLARATION: Final = re.compile(
    rb"<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(?:\"([^\"<>]*)\"|'([^'<>]*)')"
    rb"(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(?:\"([A-Za-z0-9._-]+)\"|'([A-Za-z0-9._-]+)'))?"
    rb"(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(?:\"(?:yes|no)\"|'(?:yes|no)'))?"
    rb"[ \t\r\n]*\?>"
)
_CODECS: Final = {
    "UTF-8": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gb18030",
    "GB2312": "gb18030",
}
"""GBK and GB2312 are read with GB18030's table, but for its four-byte characters."""
_FOUR_BYTES: Final = re.compile(rb"[\x81-\xfe][0-9][\x81-\xfe][0-9]")
_WHITE_SPACE: Final = re.compile(r"[ \t\r\n]*")
_COMMENT: Final = re.compile(r"<!--((?:(?!--).)*)-->", re.DOTALL)
_INSTRUCTION: Final = re.compile(
    r"<\?(?![xX][mM][lL][ \t\r\n?])[^\s?<>]+(?:[ \t\r\n].*?)?\?>", re.DOTALL
)


def decode(payload: bytes) -> str:
    """The text of the payload without byte order mark and XML declaration.

    UTF-8 is read, and GB18030 (with GBK and GB2312) where the declaration says so. Raises
    Refused(CHARSET_NOT_ALLOWED, NOT_DECODABLE, NOT_WELL_FORMED, VERSION_NOT_ALLOWED).
    """
    if payload.startswith(_UTF_16_OR_32):
        raise Refused(CHARSET_NOT_ALLOWED, "UTF-16 or UTF-32")
    marked = payload.startswith(_BYTE_ORDER_MARK)
    body = payload.removeprefix(_BYTE_ORDER_MARK)
    codec = "utf-8"
    if re.match(rb"<\?xml[ \t\r\n?]", body):
        declaration = _DECLARATION.match(body)
        if declaration is None:
            raise Refused(NOT_WELL_FORMED, "XML declaration")
        if (declaration[1] or declaration[2]) != b"1.0":
            raise Refused(VERSION_NOT_ALLOWED, "XML declaration")
        name = (declaration[3] or declaration[4] or b"UTF-8").decode().upper()
        if name not in _CODECS or (marked and name != "UTF-8"):
            raise Refused(CHARSET_NOT_ALLOWED, "XML declaration")
        codec = _CODECS[name]
        body = body[declaration.end() :]
        if name in {"GBK", "GB2312"} and _FOUR_BYTES.search(body):
            raise Refused(NOT_DECODABLE, "a four-byte character")
    try:
        return body.decode(codec)
    except UnicodeDecodeError as error:
        raise Refused(NOT_DECODABLE, f"byte {len(payload) - len(body) + error.start}") from None


def without_declaration(text: str) -> str:
    """A document that stood as text in another one, without its XML declaration.

    What that says of an encoding is past. Raises Refused(NOT_WELL_FORMED, VERSION_NOT_ALLOWED).
    """
    body = text.removeprefix("\ufeff").lstrip(" \t\r\n")
    if re.match(r"<\?xml[ \t\r\n?]", body) is None:
        return body
    end = body.find("?>") + 2
    declaration = _DECLARATION.fullmatch(body[:end].encode("utf-8", "replace"))
    if declaration is None:
        raise Refused(NOT_WELL_FORMED, "XML declaration")
    if (declaration[1] or declaration[2]) != b"1.0":
        raise Refused(VERSION_NOT_ALLOWED, "XML declaration")
    return body[end:]


def without_prolog(text: str, *, instructions_refused: bool) -> str:
    """The text from the root element's `<` on.

    Raises Refused(DOCTYPE_NOT_ALLOWED, NOT_WELL_FORMED, PROCESSING_INSTRUCTION_NOT_ALLOWED).
    """
    position = _after_white_space(text, 0)
    while text.startswith(("<!", "<?"), position):
        if text.startswith("<!--", position):
            found = _COMMENT.match(text, position)
        elif text.startswith("<!", position):
            raise Refused(DOCTYPE_NOT_ALLOWED)
        elif instructions_refused:
            raise Refused(PROCESSING_INSTRUCTION_NOT_ALLOWED, "before the root element")
        else:
            found = _INSTRUCTION.match(text, position)
        if found is None:
            raise Refused(NOT_WELL_FORMED, "before the root element")
        position = _after_white_space(text, found.end())
    if not text.startswith("<", position):
        raise Refused(NOT_WELL_FORMED, "no root element")
    return text[position:]


def _after_white_space(text: str, position: int) -> int:
    found = _WHITE_SPACE.match(text, position)
    return position if found is None else found.end()
