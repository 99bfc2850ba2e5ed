"""Files in OBX-5: data type ED (encapsulated data, HL7 v2.5.1, 2.A.24), of types a channel names.

A repetition is source ^ type of data ^ subtype ^ encoding ^ data. What the file is, is told by the
decoded data; type and subtype must say the same.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, get_args

from ferry_format.reasons import ATTACHMENT_NOT_ALLOWED, NOT_WELL_FORMED, Refused
from validators import embedded
from validators.hl7v2.grammar import Component, Repetition, Segment
from validators.hl7v2.rebuild import segment_text

if TYPE_CHECKING:
    from validators.hl7v2.separators import Separators
    from validators.policy import HL7v2Policy

_OBSERVATION: Final = "OBX"
_TYPE_NUMBER: Final = 2
_VALUE_NUMBER: Final = 5
_ENCAPSULATED: Final = "ED"
_NULL: Final = '""'
_COMPONENTS: Final = 5
_SUBTYPES: Final[dict[str, str]] = {
    **{each.partition("/")[2]: each for each in get_args(embedded.FileType)},
    "jpg": "image/jpeg",
    "tif": "image/tiff",
    "text": "text/plain",
}
_SAYS_NOTHING: Final = frozenset({"", "octet-stream", "ap", "application", "im", "image"})
"""Of table 0191 (type of data) and its forerunners: what leaves open which file it is."""
_LINE_BREAKS: Final = (".br", "X0D", "X0A", "X0D0A")
"""Escape sequences that senders put between lines of base64."""


def may_hold_files(text: str, field_separator: str) -> bool:
    """Whether a segment of a message's text may be one that `holds_files`: False is certain.

    One search through the text costs a tenth of looking at each of its segments.
    """
    return _may_be_encapsulated(field_separator).search(text) is not None


@lru_cache(maxsize=8)
def _may_be_encapsulated(field_separator: str) -> re.Pattern[str]:
    end = re.escape(field_separator)
    return re.compile(rf"{_OBSERVATION}{end}[^{end}]*{end}\s*[eE][dD]")


def holds_files(segment: Segment) -> bool:
    """Whether OBX-2 says that OBX-5 is encapsulated data, however it is spelt."""
    if segment.name != _OBSERVATION:
        return False
    texts = segment.text.split(segment.separators.field, _TYPE_NUMBER + 1)
    return texts[_TYPE_NUMBER : _TYPE_NUMBER + 1] != [] and texts[
        _TYPE_NUMBER
    ].strip().upper().startswith(_ENCAPSULATED)


def checked(segment: Segment, number: int, policy: HL7v2Policy) -> Segment:
    """The segment with each file of OBX-5 in one spelling.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, NOT_WELL_FORMED, LIMIT_EXCEEDED).
    """
    values = list(segment.fields().values)
    field = values[_VALUE_NUMBER - 1] if len(values) >= _VALUE_NUMBER else ""
    if field in {"", _NULL}:
        return segment
    place = f"OBX-{_VALUE_NUMBER} (segment {number})"
    repetitions = (field,) if isinstance(field, str) else field
    values[_VALUE_NUMBER - 1] = tuple(
        _checked(each, segment.separators, policy, place) for each in repetitions
    )
    text = segment_text(segment.name, tuple(values), segment.separators)
    return Segment(segment.name, text, segment.separators)


def _checked(
    repetition: Repetition, separators: Separators, policy: HL7v2Policy, place: str
) -> Repetition:
    if not policy.attachments:
        raise Refused(ATTACHMENT_NOT_ALLOWED, place)
    if isinstance(repetition, str) or len(repetition) != _COMPONENTS:
        raise Refused(NOT_WELL_FORMED, f"{place}: not the five components of ED")
    _, kind, subtype, encoding, data = repetition
    if not (isinstance(kind, str) and isinstance(subtype, str) and isinstance(encoding, str)):
        raise Refused(NOT_WELL_FORMED, place)
    file, spelt = _decoded(data, encoding, separators, policy.attachment_bytes_max, place)
    embedded.check(file, policy.attachments, _declared(kind, subtype), place)
    return (*repetition[:-1], spelt)


def _decoded(
    data: Component, encoding: str, separators: Separators, bytes_max: int, place: str
) -> tuple[bytes, Component]:
    """The file, and its one spelling."""
    if encoding.upper() == "A":  # no encoding: the characters themselves
        text = data if isinstance(data, str) else separators.subcomponent.join(data)
        return embedded.within(text.encode(), bytes_max, place), data
    if not isinstance(data, str):
        raise Refused(NOT_WELL_FORMED, place)
    digits = data
    for name in _LINE_BREAKS:
        digits = digits.replace(f"{separators.escape}{name}{separators.escape}", "")
    digits = embedded.without_white_space(digits)
    match encoding.upper():
        case "BASE64":
            return embedded.decoded(digits, bytes_max, place), digits
        case "HEX":
            digits = digits.upper()
            return embedded.decoded_hex(digits, bytes_max, place), digits
    raise Refused(NOT_WELL_FORMED, f"{place}: encoding")


def _declared(kind: str, subtype: str) -> str | None:
    """The media type that two components name; None where they leave it open."""
    for name in (subtype.strip().lower(), kind.strip().lower()):
        if name not in _SAYS_NOTHING:
            return _SUBTYPES.get(name, f"{kind}/{subtype}")
    return None
