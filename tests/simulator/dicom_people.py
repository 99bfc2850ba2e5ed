"""DICOM instances with markers in whatever may say who somebody is."""

from __future__ import annotations

from tests.simulator.dicom_files import element, item
from tests.simulator.personal_data import Markers
from validators.deidentify.dicom_table import _ACTIONS
from validators.dicom import dictionary

PATIENT_ID = 0x00100020
DAY = "19870617"
UID_ROOT = "2.25.31415"
_LOWEST, _HIGHEST = 0x00080019, 0x7FDFFFFF
_TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_MOMENTS = {"DA": DAY, "DT": f"{DAY}081112"}
_PEOPLE = frozenset({"DA", "DT", "PN", "UR"})
_OURS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})


def people(markers: Markers) -> bytes:
    """Every such element in the order of tags, and a patient's number."""
    elements = {tag: _planted(tag, markers) for tag in _tags()}
    elements[PATIENT_ID] = element(PATIENT_ID, b"LO", b"P1")
    return b"".join(elements[tag] for tag in sorted(elements))


def _tags() -> list[int]:
    """Those that the table names, and those whose representation says what they hold."""
    known = [
        tag
        for tag in dictionary._KNOWN
        if tag in _ACTIONS or not _PEOPLE.isdisjoint(dictionary.representations(tag))
    ]
    return [tag for tag in known if _LOWEST <= tag <= _HIGHEST and tag not in _OURS]


def _planted(tag: int, markers: Markers) -> bytes:
    representation = dictionary.representations(tag)[0]
    code = representation.encode()
    if representation in _TEXTS:
        return element(tag, code, _even(markers.word().upper()))
    if representation in _MOMENTS:
        return element(tag, code, _even(_MOMENTS[representation]))
    if representation == "UI":
        return element(tag, code, _even(f"{UID_ROOT}{tag}", "\0"))
    if representation == "SQ":
        name = element(0x00100010, b"PN", _even(markers.word().upper()))
        return element(tag, code, item(name))
    if representation in {"OB", "UN"}:
        return element(tag, code, _even(markers.word().upper()))
    return b""


def _even(text: str, padding: str = " ") -> bytes:
    return (text + padding * (len(text) % 2)).encode("ascii")
