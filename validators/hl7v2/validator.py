"""One HL7 v2 channel: every check in its order, then the rebuilt message.

1 size; 2 byte order mark; 3 separators; 4 charset, decoding; 5 control characters; 6 segment ends,
splitting, limits, escape sequences; 7 header; 8 whitelist (type, version, segments, fields), and
what is required; 9 rules of single fields; 10 files; 11 rebuild.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import (
    BATCH_NOT_ALLOWED,
    CHARSET_NOT_ALLOWED,
    CONTROL_CHARACTER,
    ENCODING_NOT_ALLOWED,
    FIELD_MISSING,
    FIELD_NOT_ALLOWED,
    HEADER_INCOMPLETE,
    LIMIT_EXCEEDED,
    MESSAGE_TYPE_NOT_ALLOWED,
    NOT_WELL_FORMED,
    SEGMENT_NOT_ALLOWED,
    VERSION_NOT_ALLOWED,
    Refused,
)
from validators.characters import find_forbidden
from validators.hl7v2 import files
from validators.hl7v2.charset import (
    BY_POLICY_NAME,
    BYTE_ORDER_MARK,
    GB18030,
    UTF_8,
    Charset,
    decode,
    detect,
    encode,
    header_line,
)
from validators.hl7v2.escapes import EscapeRules
from validators.hl7v2.field_rules import FieldRules
from validators.hl7v2.grammar import Fields, Message, fold_segment_ends, parse
from validators.hl7v2.header import BATCH_HEADERS
from validators.hl7v2.rebuild import field_text, rebuild, segment_text
from validators.hl7v2.separators import Separators, read_separators
from validators.hl7v2.whitelist import (
    FieldNames,
    MessageTypes,
    RequiredFields,
    SegmentNames,
    Versions,
)
from validators.judging import judge
from validators.order_key import Hl7Place
from validators.verdict import Accepted, Verdict

if TYPE_CHECKING:
    from validators.policy import HL7v2Policy

CONTENT_TYPE: Final = "application/hl7-v2"
CONTROL_ID_CHARS_MAX: Final = 199  # HL7 v2.7; 20 before
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_STRICT_VERSION: Final = re.compile(r"2\.[0-9](\.[0-9])?")
_STRICT_PROCESSING: Final = re.compile(r"[A-Z]")
_CHARSETS_OUT: Final = {"UTF-8": UTF_8, "GB18030": GB18030}


class HL7v2Validator:
    """A channel's whitelist and limits, made ready once and applied to each message."""

    def __init__(self, policy: HL7v2Policy, order_by: str | None = None) -> None:
        self._policy = policy
        self._order_by = None if order_by is None else Hl7Place.parse(order_by)
        self._lax = policy.header == "lax"
        self._default_charset = BY_POLICY_NAME[policy.default_charset]
        self._charset_out = _CHARSETS_OUT.get(policy.charset_out)
        self._types = MessageTypes(policy.messages)
        self._segments = SegmentNames(policy.segments)
        self._fields = FieldNames(policy.fields)
        self._required = RequiredFields(policy.required)
        self._rules = FieldRules(policy.rules)
        self._versions = Versions(policy.versions)

    @property
    def content_type(self) -> str:
        """The media type of what `validate` passes on."""
        return CONTENT_TYPE

    def validate(self, payload: bytes) -> Verdict:
        """Judge any bytes."""
        return judge(payload, self._policy.message_bytes_max, self._accept)

    def _accept(self, payload: bytes) -> Accepted:
        separators, charset, text = self._read(payload)
        converting = self._charset_out is not None and self._charset_out.codec != charset.codec
        escapes = self._escape_rules(separators, charset, converting=converting)
        message = parse(text, separators, self._policy, escapes)
        message_type, control_id = self._check_header(message)
        self._check_segments(message)
        message = self._with_named_fields(message)
        missing = self._required.missing(message)
        if missing is not None:
            raise Refused(FIELD_MISSING, missing)
        self._rules.check(message)
        message = self._with_checked_files(message)
        accepted = payload
        if self._policy.fidelity == "rebuilt":
            accepted = self._written(message, charset, converting=converting)
        order_key = None if self._order_by is None else self._order_by.order_key(message)
        return Accepted(accepted, message_type, control_id, order_key)

    def _read(self, payload: bytes) -> tuple[Separators, Charset, str]:
        data = payload.removeprefix(BYTE_ORDER_MARK)
        if data.startswith(_UTF_16_MARKS):
            raise Refused(CHARSET_NOT_ALLOWED, "byte order mark of UTF-16")
        if data.startswith(BATCH_HEADERS):
            raise Refused(BATCH_NOT_ALLOWED, "segment 1")
        separators = read_separators(header_line(data)[:16].decode("latin-1"))
        if separators is None:
            is_xml = data.lstrip().startswith(b"<")
            raise Refused(ENCODING_NOT_ALLOWED if is_xml else NOT_WELL_FORMED, "MSH-1 or MSH-2")
        charset = detect(data, self._default_charset, lax=self._lax)
        if len(data) != len(payload) and charset is not UTF_8:
            # Without the mark, a reader would take the text for what MSH-18 or its default says.
            raise Refused(CHARSET_NOT_ALLOWED, "MSH-18 against the byte order mark")
        text = fold_segment_ends(decode(data, charset))
        forbidden = find_forbidden(text)
        if forbidden is not None:
            segment = text.count("\r", 0, forbidden) + 1
            raise Refused(CONTROL_CHARACTER, f"segment {segment}")
        return separators, charset, text

    def _escape_rules(
        self, separators: Separators, charset: Charset, *, converting: bool
    ) -> EscapeRules:
        return EscapeRules(
            character=separators.escape,
            charset=charset,
            any_text=self._policy.escapes == "any",
            hex_line_breaks=self._policy.hex_line_breaks,
            converting=converting,
        )

    def _check_header(self, message: Message) -> tuple[str, str | None]:
        header, separators = message.header.fields(), message.separators
        kind = self._types.read(header.at(9))
        control_id = field_text(header.at(10), separators)
        processing = _first_text(header, 11)
        version = _first_text(header, 12)
        if not kind[0]:
            # Lax or not: without a type there is nothing to hold against the whitelist.
            raise Refused(HEADER_INCOMPLETE, "MSH-9")
        if not self._lax:
            _check_strictly(header, control_id, processing, version)
        if len(control_id) > CONTROL_ID_CHARS_MAX:
            raise Refused(LIMIT_EXCEEDED, "MSH-10")
        if not self._types.allow(kind):
            raise Refused(MESSAGE_TYPE_NOT_ALLOWED, "MSH-9")
        if not self._versions.allow(version):
            raise Refused(VERSION_NOT_ALLOWED, "MSH-12")
        return "^".join(kind).rstrip("^"), control_id or None

    def _check_segments(self, message: Message) -> None:
        if all(map(self._segments.allow, message.names)):
            return
        for number, segment in enumerate(message.segments, 1):
            if not self._segments.allow(segment.name):
                raise Refused(SEGMENT_NOT_ALLOWED, f"{segment.name} (segment {number})")

    def _with_named_fields(self, message: Message) -> Message:
        if self._fields.is_any:
            return message
        segments = []
        for number, segment in enumerate(message.segments, 1):
            unnamed = self._fields.unnamed(segment.name, segment.fields())
            if unnamed and self._policy.unknown_fields == "refuse":
                place = f"{segment.name}-{unnamed[0]} (segment {number})"
                raise Refused(FIELD_NOT_ALLOWED, place)
            segments.append(segment.without(unnamed) if unnamed else segment)
        return Message(message.separators, tuple([segment.text for segment in segments]))

    def _with_checked_files(self, message: Message) -> Message:
        if not files.may_hold_files(rebuild(message), message.separators):
            return message
        segments = [
            files.checked(segment, number, self._policy) if files.holds_files(segment) else segment
            for number, segment in enumerate(message.segments, 1)
        ]
        return Message(message.separators, tuple([segment.text for segment in segments]))

    def _written(self, message: Message, charset: Charset, *, converting: bool) -> bytes:
        if not converting or self._charset_out is None:
            return encode(rebuild(message), charset)
        values = list(message.header.fields().values)
        values += [""] * (18 - len(values))
        values[17] = self._charset_out.hl7_name
        separators, name = message.separators, message.header.name
        header = segment_text(name, tuple(values), separators)
        converted = Message(separators, (header, *message.texts[1:]))
        return encode(rebuild(converted), self._charset_out)


def _check_strictly(header: Fields, control_id: str, processing: str, version: str) -> None:
    for number, value in ((10, control_id), (11, processing), (12, version)):
        if not value:
            raise Refused(HEADER_INCOMPLETE, f"MSH-{number}")
    if not isinstance(header.at(10), str):
        raise Refused(NOT_WELL_FORMED, "MSH-10")
    if _STRICT_PROCESSING.fullmatch(processing) is None:
        raise Refused(NOT_WELL_FORMED, "MSH-11")
    if _STRICT_VERSION.fullmatch(version) is None:
        raise Refused(VERSION_NOT_ALLOWED, "MSH-12")


def _first_text(header: Fields, number: int) -> str:
    """Return the first component's first subcomponent of a header field that does not repeat."""
    field = header.at(number)
    if len(field) > 1 and not isinstance(field, str):
        raise Refused(NOT_WELL_FORMED, f"MSH-{number}")
    while not isinstance(field, str):
        field = field[0]
    return field
