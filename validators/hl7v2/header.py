"""The MSH segment of any bytes, read cheaply: for acknowledgements and for telling duplicates.

A refused message is answered too, so this reads what a validator would not accept. It looks at the
first HEADER_BYTES_MAX bytes only, and nothing it returns has been checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ferry_format.reasons import Refused
from validators.hl7v2.charset import (
    BY_POLICY_NAME,
    BYTE_ORDER_MARK,
    LATIN_1,
    UTF_8,
    Charset,
    detect,
    header_line,
)
from validators.hl7v2.separators import Separators, read_separators

BATCH_HEADERS: Final = (b"FHS", b"BHS")
_FIELDS_READ: Final = 21
_CONTROL_ID: Final = 10


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """MSH as sent, field by field, unchecked ("" where absent or empty).

    `codec` is the Python codec the texts were decoded with: encoding with it gives the sender's
    own bytes back.
    """

    separators: Separators
    codec: str
    sending_application: str  # MSH-3
    sending_facility: str  # MSH-4
    receiving_application: str  # MSH-5
    receiving_facility: str  # MSH-6
    message_type: str  # MSH-9
    control_id: str  # MSH-10
    processing_id: str  # MSH-11
    version: str  # MSH-12
    accept_acknowledgement: str  # MSH-15
    application_acknowledgement: str  # MSH-16
    character_set: str  # MSH-18

    @property
    def enhanced(self) -> bool:
        """Whether the sender asks for enhanced acknowledgement mode (HL7 v2 2.9.2)."""
        return bool(self.accept_acknowledgement or self.application_acknowledgement)

    @property
    def duplicate_key(self) -> bytes | None:
        """MSH-3 to MSH-6 and MSH-10 in one byte string, or None without MSH-10.

        Fields are joined by a segment end, which none of them can hold: two different headers never
        give the same key.
        """
        if not self.control_id:
            return None
        parts = (
            self.sending_application,
            self.sending_facility,
            self.receiving_application,
            self.receiving_facility,
            self.control_id,
        )
        return "\r".join(parts).encode(self.codec)


def read_header(payload: bytes, default_charset: str = "UTF-8") -> MessageHeader | None:
    """Return the header of any bytes, or None where no MSH with usable separators begins them.

    `default_charset` is the channel's (a CharsetName of the policy). Never raises.
    """
    return _read_line(header_line(payload.removeprefix(BYTE_ORDER_MARK)), default_charset)


def read_control_id(payload: bytes) -> str | None:
    """Return `read_header(payload).control_id`, or None where that is None. Never raises.

    Every character set that is read has ASCII for ASCII, so a header of it needs no set (1 instead
    of 15 µs).
    """
    line = header_line(payload)
    if not line.isascii():
        header = read_header(payload)
        return None if header is None else header.control_id
    text = line.decode("ascii")
    separators = read_separators(text)
    if separators is None:
        return None
    fields = text.split(separators.field, _CONTROL_ID)
    return fields[_CONTROL_ID - 1] if len(fields) >= _CONTROL_ID else ""


def read_batch_header(payload: bytes, default_charset: str = "UTF-8") -> MessageHeader | None:
    """Return the FHS or BHS that begins any bytes, or None where none with usable separators does.

    Its control id is FHS-11 or BHS-11, by which an answer names it; it has no type, no version and
    names no character set: `default_charset` is the channel's. Never raises.
    """
    line = header_line(payload.removeprefix(BYTE_ORDER_MARK))
    if not line.startswith(BATCH_HEADERS):
        return None
    # Its first seven fields are those of an MSH (HL7 v2.5.1, 2.15.2).
    read = _fields(b"MSH" + line[3:], BY_POLICY_NAME.get(default_charset, UTF_8))
    if read is None:
        return None
    separators, codec, fields = read
    return MessageHeader(
        separators=separators,
        codec=codec,
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        message_type="",
        control_id=fields[10],
        processing_id="",
        version="",
        accept_acknowledgement="",
        application_acknowledgement="",
        character_set="",
    )


# A message's header is asked for a few times on its way (its answer, its identity): 15 µs once.
@lru_cache(maxsize=128)
def _read_line(line: bytes, default_charset: str) -> MessageHeader | None:
    read = _fields(line, BY_POLICY_NAME.get(default_charset, UTF_8))
    if read is None:
        return None
    separators, codec, fields = read
    return MessageHeader(
        separators=separators,
        codec=codec,
        sending_application=fields[2],
        sending_facility=fields[3],
        receiving_application=fields[4],
        receiving_facility=fields[5],
        message_type=fields[8],
        control_id=fields[9],
        processing_id=fields[10],
        version=fields[11],
        accept_acknowledgement=fields[14],
        application_acknowledgement=fields[15],
        character_set=fields[17],
    )


def _fields(line: bytes, default: Charset) -> tuple[Separators, str, list[str]] | None:
    charset = _charset_of(line, default)
    text = line.decode(charset.codec)
    separators = read_separators(text)
    if separators is None:
        return None
    # MSH-1 is the separator, so MSH-n stands at index n - 1.
    fields = text.split(separators.field, _FIELDS_READ)[:_FIELDS_READ]
    return separators, charset.codec, fields + [""] * (_FIELDS_READ - len(fields))


def _charset_of(line: bytes, default: Charset) -> Charset:
    try:
        charset = detect(line, default, lax=True)
        line.decode(charset.codec)
    except (Refused, UnicodeDecodeError):
        return LATIN_1  # takes any byte, and gives it back
    return charset
