"""What the standard says of a tag (PS3.6), and how tags are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Final, Literal

PIXEL_DATA: Final = 0x7FE00010
NATIVE_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, PIXEL_DATA})
"""Float, double float and integer pixel data (PS3.5, A.4; PS3.3, C.7.6.3)."""

ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
TRAILING_PADDING: Final = 0xFFFCFFFC

CHARACTER_SET: Final = 0x00080005
SOP_CLASS: Final = 0x00080016
SOP_INSTANCE: Final = 0x00080018

_CREATORS: Final = range(0x10, 0x100)


def _rows(name: str) -> list[list[str]]:
    file = resources.files("validators.dicom.standard") / name
    return [line.split("\t") for line in file.read_text(encoding="ascii").splitlines()]


_ELEMENTS: Final = _rows("elements.tsv")
_KNOWN: Final = {
    int(tag, 16): (tuple(codes.split()), keyword)
    for tag, codes, keyword in _ELEMENTS
    if "x" not in tag
}
_REPEATING: Final = [
    (re.compile(tag.replace("x", "[0-9A-F]")), (tuple(codes.split()), keyword))
    for tag, codes, keyword in _ELEMENTS
    if "x" in tag
]
_TAGS: Final = {keyword: tag for tag, (_, keyword) in _KNOWN.items()}
_CLASS_NAMES: Final[dict[str, str]] = dict(_rows("sop_classes.tsv"))
_CLASS_UIDS: Final = {keyword: uid for uid, keyword in _CLASS_NAMES.items()}


@lru_cache(maxsize=8192)
def _entry(tag: int) -> tuple[tuple[str, ...], str]:
    """Representations and keyword; nothing for an unknown tag."""
    known = _KNOWN.get(tag)
    if known is not None:
        return known
    text = f"{tag:08X}"
    return next((entry for mask, entry in _REPEATING if mask.fullmatch(text)), ((), ""))


def representations(tag: int) -> tuple[str, ...]:
    """The value representations that a standard element may have; none if the tag is unknown."""
    return () if is_private(tag) else _entry(tag)[0]


def name_of(tag: int) -> str:
    """The keyword of a tag, PatientName, or its number, (0029,1010): never data."""
    keyword = "" if is_private(tag) else _entry(tag)[1]
    return keyword or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def tag_of(keyword: str) -> int:
    """The tag of a keyword. Raises ValueError if the standard has no such element."""
    if keyword not in _TAGS:
        raise ValueError(f"{keyword} is no element of DICOM: write its keyword, as PatientName")
    return _TAGS[keyword]


def knows(keyword: str) -> bool:
    """Whether the standard has an element of this keyword."""
    return keyword in _TAGS


def sop_class_uid(name: str) -> str:
    """The UID of a SOP class, by its keyword or UID. Raises ValueError if none has that name."""
    if name[0].isdigit():
        return name
    if name not in _CLASS_UIDS:
        raise ValueError(f"{name} is no SOP class of DICOM: write its keyword, as CTImageStorage")
    return _CLASS_UIDS[name]


def sop_class_uids(names: Literal["any"] | Sequence[str]) -> list[str]:
    """The UIDs of a policy's SOP classes; of "any", those whose instances are stored."""
    if names == "any":
        return [uid for uid, keyword in _CLASS_NAMES.items() if keyword.endswith("Storage")]
    return [sop_class_uid(name) for name in names]


def sop_class_name(uid: str) -> str:
    """A SOP class's keyword, or its UID where the standard does not know it."""
    return _CLASS_NAMES.get(uid, uid)


def is_private(tag: int) -> bool:
    """Whether the tag's group is odd (PS3.5, 7.8)."""
    return bool(tag >> 16 & 1)


def is_group_length(tag: int) -> bool:
    """Whether it is a group's length, retired everywhere but in the file meta information."""
    return not tag & 0xFFFF


def is_creator(tag: int) -> bool:
    """Whether the private element reserves a block for its creator (PS3.5, 7.8.1)."""
    return tag & 0xFFFF in _CREATORS
