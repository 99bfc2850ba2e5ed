"""How files begin, by media type."""

from __future__ import annotations

import re
from typing import Final

_ANYTHING: Final = "application/octet-stream"
_SIGNATURES: Final[dict[str, tuple[tuple[int, bytes], ...]]] = {
    _ANYTHING: ((0, b""),),
    "application/dicom": ((128, b"DICM"),),
    "application/pdf": ((0, b"%PDF-"),),
    "application/zip": ((0, b"PK\x03\x04"),),
    "application/gzip": ((0, b"\x1f\x8b\x08"),),
    "audio/mpeg": ((0, b"ID3"), (0, b"\xff\xfb"), (0, b"\xff\xf3"), (0, b"\xff\xf2")),
    "image/bmp": ((0, b"BM"),),
    "image/gif": ((0, b"GIF87a"), (0, b"GIF89a")),
    "image/jpeg": ((0, b"\xff\xd8\xff"),),
    "image/png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "image/tiff": ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")),
    "text/rtf": ((0, b"{\\rtf"),),
    "video/mp4": ((4, b"ftyp"),),
}
"""By type: where one of which bytes stand. TIFF has two byte orders, and BigTIFF two more."""

_ANY_START: Final = re.compile(
    b"|".join(
        b".{%d}%s" % (at, re.escape(start))
        for media_type, signatures in _SIGNATURES.items()
        if media_type != _ANYTHING
        for at, start in signatures
    ),
    re.DOTALL,
)


def starts_as(media_type: str, data: bytes) -> bool:
    """Whether a file that begins with `data` can be of this type."""
    return any(data.startswith(bytes_, at) for at, bytes_ in _SIGNATURES[media_type])


def starts_as_any(data: bytes) -> bool:
    """Whether `data` begins as a file of any type that is known here."""
    return _ANY_START.match(data) is not None
