"""How many bytes native pixel data has, from the elements that describe it (PS3.3, C.7.6.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ferry_format.reasons import FIELD_MISSING, LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from validators.dicom.state import Level

SAMPLES: Final = 0x00280002
PHOTOMETRIC: Final = 0x00280004
FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
NUMBERS: Final = frozenset({SAMPLES, ROWS, COLUMNS, BITS_ALLOCATED})
"""Elements of one US number each."""

DESCRIPTION: Final = NUMBERS | {PHOTOMETRIC, FRAMES}

_US_BYTES: Final = 2
_BITS: Final = frozenset({1, 8, 16, 32, 64})
_SUBSAMPLED: Final = {"YBR_FULL_422": (2, 3), "YBR_PARTIAL_422": (2, 3), "YBR_PARTIAL_420": (1, 2)}
"""What part of three samples a pixel has there."""


def remember(level: Level, tag: int, value: bytes, text: str) -> None:
    """Keep one of the elements that describe an image."""
    if tag == PHOTOMETRIC:
        level.image[tag] = text
    elif tag == FRAMES and text.strip():
        level.image[tag] = int(text) if text.strip().isdecimal() else text
    elif tag in NUMBERS and len(value) == _US_BYTES:
        level.image[tag] = int.from_bytes(value, "big" if level.is_big_endian else "little")


def frames(image: Mapping[int, int | str]) -> int:
    """The number of frames. Raises Refused."""
    said = image.get(FRAMES, 1)
    if not isinstance(said, int) or said < 1:
        raise Refused(NOT_WELL_FORMED, "NumberOfFrames")
    return said


def native_bytes(image: Mapping[int, int | str], bytes_max: int) -> int:
    """The bytes that pixel data must have, padded to an even number. Raises Refused."""
    rows, columns = _number(image, ROWS, "Rows"), _number(image, COLUMNS, "Columns")
    bits = _number(image, BITS_ALLOCATED, "BitsAllocated")
    samples = _number(image, SAMPLES, "SamplesPerPixel")
    if bits not in _BITS:
        raise Refused(NOT_WELL_FORMED, "BitsAllocated")
    total = rows * columns * samples * frames(image) * bits
    if samples == 3 and image.get(PHOTOMETRIC) in _SUBSAMPLED:  # noqa: PLR2004 - colour
        part, whole = _SUBSAMPLED[str(image[PHOTOMETRIC])]
        total = total * part // whole
    size = -(-total // 8)
    if size > bytes_max:
        raise Refused(LIMIT_EXCEEDED, "PixelData")
    return size + size % 2


def _number(image: Mapping[int, int | str], tag: int, name: str) -> int:
    found = image.get(tag)
    if found is None:
        raise Refused(FIELD_MISSING, name)
    if not isinstance(found, int) or found < 1:
        raise Refused(NOT_WELL_FORMED, name)
    return found
