r"""Character sets: HL7 table 0211's names, and which one a message is in.

Splitting comes after decoding, always: second bytes of GBK and GB18030 include | \ ^ ~. Segment
ends and the ASCII letters never occur inside a character of any set below, so the MSH line can be
cut off first.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ferry_format.reasons import CHARSET_NOT_ALLOWED, NOT_DECODABLE, Refused
from validators.hl7v2.separators import read_separators

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
HEADER_BYTES_MAX: Final = 8192
"""The longest MSH line looked at."""


MSH_18: Final = 18  # and, MSH-1 being the separator, the 18th piece of the line


@dataclass(frozen=True, slots=True)
class Charset:
    """One set: Python's codec, the name that MSH-18 carries for it, and GBK's narrower range."""

    codec: str
    hl7_name: str
    two_bytes_only: bool = False


UTF_8: Final = Charset("utf-8", "UNICODE UTF-8")
GB18030: Final = Charset("gb18030", "GB 18030-2000")
# GBK and GB2312 are read with GB18030's table and must not use its four-byte characters: a GBK
# reader at the other end would take those for something else.
GBK: Final = Charset("gb18030", "GBK", two_bytes_only=True)
LATIN_1: Final = Charset("iso8859-1", "8859/1")
ASCII: Final = Charset("ascii", "ASCII")

BY_POLICY_NAME: Final = {
    "UTF-8": UTF_8,
    "GB18030": GB18030,
    "GBK": GBK,
    "ISO-8859-1": LATIN_1,
    "ASCII": ASCII,
}
_BY_DECLARED_NAME: Final = {
    "UNICODEUTF8": UTF_8,
    "UTF8": UTF_8,
    "GB18030": GB18030,
    "GB180302000": GB18030,
    "GB180302005": GB18030,
    "GB180302022": GB18030,
    "GBK": GBK,
    "CP936": GBK,
    "GB2312": GBK,
    "GB231280": GBK,
    "88591": LATIN_1,
    "ISO88591": LATIN_1,
    "ASCII": ASCII,
    "USASCII": ASCII,
}
_NOISE: Final = str.maketrans("", "", " -_/.")
_CANDIDATES: Final = (UTF_8, GB18030, LATIN_1)


@lru_cache(maxsize=64)
def by_declared_name(name: str) -> Charset | None:
    """Return the set that an MSH-18 value names, or None if it is not one we read."""
    return _BY_DECLARED_NAME.get(name.upper().translate(_NOISE))


def header_line(data: bytes) -> bytes:
    """Return the bytes up to the first segment end, at most HEADER_BYTES_MAX of them."""
    line = data[:HEADER_BYTES_MAX]
    return line.split(b"\r", 1)[0].split(b"\n", 1)[0]


def detect(data: bytes, default: Charset, *, lax: bool) -> Charset:
    """Return the set that `data` (without byte order mark) declares in MSH-18, or `default`.

    With `lax`, an unknown name counts as none, and of several only the first is looked at. Raises
    Refused(CHARSET_NOT_ALLOWED, NOT_DECODABLE).
    """
    line = header_line(data)
    if line.isascii():
        return _declared(line.decode("ascii"), default, lax=lax)
    # MSH-18 stands behind fields that may hold characters of the set it names. The right reading
    # is the one that names itself; two such readings would let two readers disagree.
    consistent = [each for each in _CANDIDATES if _names_itself(line, each, default, lax=lax)]
    if len(consistent) != 1:
        raise Refused(NOT_DECODABLE, "MSH")
    return _declared(line.decode(consistent[0].codec), default, lax=lax)


def _names_itself(line: bytes, candidate: Charset, default: Charset, *, lax: bool) -> bool:
    try:
        declared = _declared(line.decode(candidate.codec), default, lax=lax)
    except (UnicodeDecodeError, Refused):
        return False
    return declared.codec == candidate.codec


def _declared(line: str, default: Charset, *, lax: bool) -> Charset:
    separators = read_separators(line)
    fields = line.split(separators.field, MSH_18) if separators else []
    if separators is None or len(fields) < MSH_18 or not fields[MSH_18 - 1]:
        return default
    names = fields[MSH_18 - 1].split(separators.repetition)
    charset = by_declared_name(names[0].split(separators.component, 1)[0])
    if lax:
        return charset or default
    if charset is None or len(names) > 1:
        raise Refused(CHARSET_NOT_ALLOWED, "MSH-18")
    return charset


def decode(data: bytes, charset: Charset) -> str:
    """Decode strictly. Raises Refused(NOT_DECODABLE) naming the segment."""
    try:
        text = data.decode(charset.codec)
    except UnicodeDecodeError as error:
        before = data[: error.start].replace(b"\r\n", b"\r").replace(b"\n", b"\r")
        ends = before.count(b"\r")
        raise Refused(NOT_DECODABLE, f"segment {ends + 1}") from None
    if charset.two_bytes_only and not data.isascii():
        single_bytes = len(text.encode("ascii", "ignore"))
        if len(data) != 2 * len(text) - single_bytes:
            raise Refused(NOT_DECODABLE, "a four-byte character in a GBK message")
    return text


def encode(text: str, charset: Charset) -> bytes:
    """Encode strictly. Raises Refused(NOT_DECODABLE) if the set lacks a character."""
    try:
        return text.encode(charset.codec)
    except UnicodeEncodeError as error:
        segment = text.count("\r", 0, error.start) + 1
        raise Refused(NOT_DECODABLE, f"segment {segment}: not in {charset.hl7_name}") from None
