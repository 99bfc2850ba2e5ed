"""Files inside messages: what one is, is told by its content; a declared type proves nothing.

A channel names the types that may stand in its messages. Archives are refused unless they are
named, and then everything in them is unpacked and counted (`archives`).
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final, Literal

from ferry_format.reasons import (
    ATTACHMENT_NOT_ALLOWED,
    LIMIT_EXCEEDED,
    NOT_WELL_FORMED,
    Refused,
)
from validators import archives
from validators.characters import find_forbidden
from validators.file_types import starts_as, starts_as_any

if TYPE_CHECKING:
    from collections.abc import Collection

FileType = Literal[
    "application/dicom",
    "application/gzip",
    "application/pdf",
    "application/zip",
    "audio/mpeg",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/tiff",
    "text/plain",
    "text/rtf",
    "video/mp4",
]
_TEXT: Final = "text/plain"
_IN_LETTERS: Final = re.compile(r"\s*(?:%PDF-|GIF8[79]a|\{\\rtf)")
"""How files begin that can be written in letters alone: such a file is not text all the same."""
_DICOM: Final = "application/dicom"
_PREAMBLE_BYTES: Final = 128
_OTHER_NAMES: Final = {"image/jpg": "image/jpeg", "application/rtf": "text/rtf"}
_WHITE_SPACE: Final = dict.fromkeys(map(ord, " \t\r\n"))
DIGITS_MIN: Final = 10
"""Fewer digits of base64 are no file of any type."""
_BASE64_TEXT: Final = re.compile(
    r"[ \t\r\n]*+(?:(?i:data):[^,]*,)?([A-Za-z0-9+/_ \t\r\n-]*+)[= \t\r\n]*"
)
"""In both alphabets of RFC 4648, whether padded or not; also a whole data: URL.

Possessive where two parts can hold the same character: else the time is quadratic in a run of it.
"""
_HEAD_DIGITS: Final = 180
"""What the signature that lies deepest needs: DICOM's, 132 bytes."""


def without_white_space(text: str) -> str:
    """Base64 without the line breaks that senders put in it."""
    return text.translate(_WHITE_SPACE)


def hides_file(text: str) -> bool:
    """Whether what passes for a text is base64, in any spelling, of a file of a known type."""
    if len(text) < DIGITS_MIN:
        return False
    found = _BASE64_TEXT.fullmatch(text)
    if found is None:
        return False
    digits = without_white_space(found[1])
    head = digits[: min(len(digits), _HEAD_DIGITS) // 4 * 4]
    return len(digits) >= DIGITS_MIN and starts_as_any(base64.urlsafe_b64decode(head))


def is_text(text: str) -> bool:
    """Whether a text is no file, neither in base64 nor of a type that is written in letters."""
    return not hides_file(text) and not _IN_LETTERS.match(text)


def decoded(digits: str, bytes_max: int, place: str) -> bytes:
    """The file that base64 digits spell. Raises Refused(NOT_WELL_FORMED, LIMIT_EXCEEDED).

    The last digit's spare bits carry nothing, so only one spelling of a file is taken.
    """
    if len(digits) > (bytes_max + 2) // 3 * 4:
        raise Refused(LIMIT_EXCEEDED, place)
    try:
        data = base64.b64decode(digits, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(NOT_WELL_FORMED, f"{place}: base64") from None
    if base64.b64encode(data).decode() != digits:
        raise Refused(NOT_WELL_FORMED, f"{place}: base64")
    return within(data, bytes_max, place)


def decoded_hex(digits: str, bytes_max: int, place: str) -> bytes:
    """The file that upper-case hex digits spell. Raises as `decoded`."""
    if len(digits) > 2 * bytes_max:
        raise Refused(LIMIT_EXCEEDED, place)
    try:
        return base64.b16decode(digits)
    except (binascii.Error, ValueError):
        raise Refused(NOT_WELL_FORMED, f"{place}: hex") from None


def within(data: bytes, bytes_max: int, place: str) -> bytes:
    """The data of a file of a size that the channel takes. Raises Refused(LIMIT_EXCEEDED)."""
    if len(data) > bytes_max:
        raise Refused(LIMIT_EXCEEDED, place)
    return data


def check(data: bytes, allowed: Collection[str], declared: str | None, place: str) -> None:
    """Pass a file whose content is of an allowed type, which is the declared one if one is.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, LIMIT_EXCEEDED).
    """
    wanted = allowed if declared is None else {_bare(declared)} & set(allowed)
    for each in sorted(wanted):
        if _is_of(each, data):
            archives.check(each, data, place)
            return
    raise Refused(ATTACHMENT_NOT_ALLOWED, place)


def _bare(media_type: str) -> str:
    """A media type without its parameters (RFC 9110, 8.3.1), under its right name."""
    bare = media_type.partition(";")[0].strip().lower()
    return _OTHER_NAMES.get(bare, bare)


def _is_of(file_type: str, data: bytes) -> bool:
    # Nobody reads a DICOM file's preamble (PS3.10, 7.1): another file can hide in it.
    if file_type == _DICOM and any(data[:_PREAMBLE_BYTES]):
        return False
    if file_type != _TEXT:
        return starts_as(file_type, data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return find_forbidden(text) is None and is_text(text)
