"""Transfer syntaxes (PS3.5, annex A) that the ferry reads, and how each one's pixels begin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_JPEG: Final = (b"\xff\xd8\xff",)
_JPEG_2000: Final = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_MPEG_2: Final = (b"\0\0\1", b"\x47")
_MPEG_4: Final = (b"\0\0\1", b"\0\0\0\1", b"\x47", b"\0\0\0")
_JPEG_XL: Final = (b"\xff\x0a", b"\0\0\0\x0cJXL ")


@dataclass(frozen=True, slots=True)
class Syntax:
    """How a data set is written.

    `starts`: one of these begins compressed pixels; none where pixels are not compressed.
    `is_video`: one fragment may hold many frames.
    """

    uid: str
    is_implicit: bool = False
    is_big_endian: bool = False
    starts: tuple[bytes, ...] = ()
    is_video: bool = False

    @property
    def is_encapsulated(self) -> bool:
        """Whether pixels are compressed, in fragments (PS3.5, A.4)."""
        return bool(self.starts)


IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
_COMPRESSED: Final = "1.2.840.10008.1.2.4."

NAMES: Final = {
    "ImplicitVRLittleEndian": Syntax(IMPLICIT_LITTLE, is_implicit=True),
    "ExplicitVRLittleEndian": Syntax(EXPLICIT_LITTLE),
    "ExplicitVRBigEndian": Syntax("1.2.840.10008.1.2.2", is_big_endian=True),
    "JPEGBaseline8Bit": Syntax(_COMPRESSED + "50", starts=_JPEG),
    "JPEGExtended12Bit": Syntax(_COMPRESSED + "51", starts=_JPEG),
    "JPEGLossless": Syntax(_COMPRESSED + "57", starts=_JPEG),
    "JPEGLosslessSV1": Syntax(_COMPRESSED + "70", starts=_JPEG),
    "JPEGLSLossless": Syntax(_COMPRESSED + "80", starts=_JPEG),
    "JPEGLSNearLossless": Syntax(_COMPRESSED + "81", starts=_JPEG),
    "JPEG2000Lossless": Syntax(_COMPRESSED + "90", starts=_JPEG_2000),
    "JPEG2000": Syntax(_COMPRESSED + "91", starts=_JPEG_2000),
    "MPEG2MPML": Syntax(_COMPRESSED + "100", starts=_MPEG_2, is_video=True),
    "MPEG2MPHL": Syntax(_COMPRESSED + "101", starts=_MPEG_2, is_video=True),
    "MPEG4HP41": Syntax(_COMPRESSED + "102", starts=_MPEG_4, is_video=True),
    "MPEG4HP41BD": Syntax(_COMPRESSED + "103", starts=_MPEG_4, is_video=True),
    "HEVCMP51": Syntax(_COMPRESSED + "107", starts=_MPEG_4, is_video=True),
    "HEVCM10P51": Syntax(_COMPRESSED + "108", starts=_MPEG_4, is_video=True),
    "JPEGXLLossless": Syntax(_COMPRESSED + "110", starts=_JPEG_XL),
    "JPEGXL": Syntax(_COMPRESSED + "112", starts=_JPEG_XL),
    "HTJ2KLossless": Syntax(_COMPRESSED + "201", starts=_JPEG_2000),
    "HTJ2KLosslessRPCL": Syntax(_COMPRESSED + "202", starts=_JPEG_2000),
    "HTJ2K": Syntax(_COMPRESSED + "203", starts=_JPEG_2000),
    "RLELossless": Syntax(
        "1.2.840.10008.1.2.5", starts=tuple(bytes([count, 0, 0, 0]) for count in range(1, 16))
    ),
}
"""By keyword (PS3.6). Deflated ones are not among them: their size is told by nothing."""

BY_UID: Final = {syntax.uid: syntax for syntax in NAMES.values()}
