"""Files in OBX-5: data type ED (encapsulated data, HL7 v2.5.1, 2.A.24), of types a channel names.

A repetition is source ^ type of data ^ subtype ^ encoding ^ data. What the file is, is told by the
decoded data; type and subtype must say the same. Since receivers differ in how much they believe
OBX-2, what looks like ED, or decodes to a file, is judged as one under any other type too.
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
_ENCODING: Final = 3
_ENCODINGS: Final = ("BASE64", "HEX")
_SHORTEST: Final = len("^^^HEX^0")
_PLAIN_TYPE: Final = "[A-Za-z0-9]{2,3}"
"""What the codes of table 0125 look like: no components, repetitions or escapes."""
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


def may_hold_files(text: str, separators: Separators) -> bool:
    """Whether `checked` may find anything in a message's text: False is certain.

    One search through the text costs less than looking at each of its segments.
    """
    return _suspicious(separators).search(text) is not None


@lru_cache(maxsize=8)
def _suspicious(separators: Separators) -> re.Pattern[str]:
    """An OBX whose type is no plain one or ED, or whose value has the length or marks of a file."""
    end, escape = re.escape(separators.field), re.escape(separators.escape)
    part = re.escape(separators.component + separators.subcomponent)
    within = rf"[^{end}\r]"
    to_next = rf"{within}*+{end}"
    digits = rf"[A-Za-z0-9+/_=.\- \t{escape}]{{{embedded.DIGITS_MIN}}}"
    says_so = rf"{escape}[Xx.]|[{part}]\s*(?i:base64|hex)"
    return re.compile(
        rf"{_OBSERVATION}{end}{to_next}"
        rf"(?:(?!(?!(?i:{_ENCAPSULATED}){end}){_PLAIN_TYPE}{end})"
        rf"|{to_next}{to_next}{to_next}(?={within}{{{_SHORTEST}}}){within}*?(?:{digits}|{says_so}))"
    )


def holds_files(segment: Segment) -> bool:
    """Whether `checked` may find anything in a segment: False is certain."""
    if segment.name != _OBSERVATION:
        return False
    return _suspicious(segment.separators).match(segment.text) is not None


def checked(segment: Segment, number: int, policy: HL7v2Policy) -> Segment:
    """The segment with each file of OBX-5 in one spelling, whatever OBX-2 calls it.

    Raises Refused(ATTACHMENT_NOT_ALLOWED, NOT_WELL_FORMED, LIMIT_EXCEEDED).
    """
    fields = segment.fields()
    kind, field = fields.at(_TYPE_NUMBER), fields.at(_VALUE_NUMBER)
    if field in {"", _NULL}:
        return segment
    if not isinstance(kind, str) or re.fullmatch(_PLAIN_TYPE, kind) is None:
        raise Refused(NOT_WELL_FORMED, f"OBX-{_TYPE_NUMBER} (segment {number})")
    place = f"OBX-{_VALUE_NUMBER} (segment {number})"
    separators = segment.separators
    repetitions = (field,) if isinstance(field, str) else field
    judged = tuple(
        _checked(each, separators, policy, place)
        if kind.upper() == _ENCAPSULATED or _says_encoded(each, separators)
        else _without_hidden(each, separators, policy, place)
        for each in repetitions
    )
    if judged == repetitions:
        return segment
    values = list(fields.values)
    values[_VALUE_NUMBER - 1] = judged
    return Segment(segment.name, segment_text(segment.name, tuple(values), separators), separators)


def _says_encoded(repetition: Repetition, separators: Separators) -> bool:
    """Whether the component that is ED's encoding calls the next one base64 or hex."""
    if isinstance(repetition, str) or len(repetition) < _COMPONENTS:
        return False
    said = repetition[_ENCODING]
    return any(
        _resolved(each, separators.escape).strip().upper() in _ENCODINGS
        for each in ((said,) if isinstance(said, str) else said)
    )


def _without_hidden(
    repetition: Repetition, separators: Separators, policy: HL7v2Policy, place: str
) -> Repetition:
    """A value of another type, in which each text that is base64 of a file is judged as one."""

    def leaf(text: str) -> str:
        resolved = _resolved(text, separators.escape) if separators.escape in text else text
        if not embedded.hides_file(resolved):
            return text
        if not policy.attachments:
            raise Refused(ATTACHMENT_NOT_ALLOWED, place)
        digits = embedded.without_white_space(resolved)
        file = embedded.decoded(digits, policy.attachment_bytes_max, place)
        embedded.check(file, policy.attachments, None, place)
        return digits

    if isinstance(repetition, str):
        return leaf(repetition)
    return tuple(
        leaf(each) if isinstance(each, str) else tuple(map(leaf, each)) for each in repetition
    )


def _resolved(text: str, escape: str) -> str:
    """A text as a receiver reads it that resolves hexadecimal escapes and line breaks."""
    mark = re.escape(escape)
    return re.sub(
        rf"{mark}[Xx]((?:[0-9A-Fa-f]{{2}})+){mark}",
        lambda found: bytes.fromhex(found[1]).decode("latin-1"),
        _without_breaks(text, escape),
    )


def _without_breaks(text: str, escape: str) -> str:
    for name in _LINE_BREAKS:
        text = text.replace(f"{escape}{name}{escape}", "")
    return text


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
        read = _without_breaks(text, separators.escape)
        return embedded.within(read.encode(), bytes_max, place), data
    if not isinstance(data, str):
        raise Refused(NOT_WELL_FORMED, place)
    digits = embedded.without_white_space(_without_breaks(data, separators.escape))
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
