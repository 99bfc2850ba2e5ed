"""Policy of DICOM channels."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from validators.policy.objects import OBJECT_BYTES_MAX
from validators.policy.terms import PolicyModel, matches

SopClass = Annotated[
    str,
    matches(
        r"[A-Z][A-Za-z0-9]{1,99}|[0-9]+(\.[0-9]+){1,31}",
        "write a SOP class as CTImageStorage or as its UID",
    ),
]
Keyword = Annotated[
    str, matches(r"[A-Z][A-Za-z0-9]{1,99}", "write an element's keyword, as PatientName")
]
Creator = Annotated[
    str, matches(r"[ -\[\]-~]{1,64}", "write a private creator as it stands in the element")
]
SyntaxName = Literal[
    "ImplicitVRLittleEndian",
    "ExplicitVRLittleEndian",
    "ExplicitVRBigEndian",
    "JPEGBaseline8Bit",
    "JPEGExtended12Bit",
    "JPEGLossless",
    "JPEGLosslessSV1",
    "JPEGLSLossless",
    "JPEGLSNearLossless",
    "JPEG2000Lossless",
    "JPEG2000",
    "MPEG2MPML",
    "MPEG2MPHL",
    "MPEG4HP41",
    "MPEG4HP41BD",
    "HEVCMP51",
    "HEVCM10P51",
    "JPEGXLLossless",
    "JPEGXL",
    "HTJ2KLossless",
    "HTJ2KLosslessRPCL",
    "HTJ2K",
    "RLELossless",
]


class DicomPolicy(PolicyModel):
    """DICOM instances, walked to their end and rebuilt piece by piece."""

    sop_classes: Literal["any"] | Annotated[tuple[SopClass, ...], Field(min_length=1)] = Field(
        description=(
            'SOP classes that may cross, by keyword (CTImageStorage) or UID; or "any". A DICOMDIR '
            "never does."
        )
    )
    transfer_syntaxes: Annotated[tuple[SyntaxName, ...], Field(min_length=1)] = Field(
        default=(
            "ImplicitVRLittleEndian",
            "ExplicitVRLittleEndian",
            "JPEGBaseline8Bit",
            "JPEGExtended12Bit",
            "JPEGLosslessSV1",
            "JPEGLSLossless",
            "JPEGLSNearLossless",
            "JPEG2000Lossless",
            "JPEG2000",
            "RLELossless",
        ),
        description="Transfer syntaxes that may cross. Deflated ones never do.",
    )
    elements: Literal["any"] | Annotated[tuple[Keyword, ...], Field(min_length=1)] = Field(
        default="any",
        description=(
            "Standard elements that may cross, by keyword, at any depth; a sequence must be named "
            'like what stands in it; or "any". SpecificCharacterSet, SOPClassUID and '
            "SOPInstanceUID always may."
        ),
    )
    unknown_elements: Literal["refuse", "strip", "allow"] = Field(
        default="strip",
        description=(
            "What becomes of elements that elements or the standard do not name. allow: those that "
            "the standard does not know cross."
        ),
    )
    private_creators: Literal["any"] | tuple[Creator, ...] = Field(
        default=(),
        description='Creators whose private elements may cross; or "any".',
    )
    private_elements: Literal["refuse", "strip"] = Field(
        default="strip", description="What becomes of other private elements."
    )
    group_lengths: Literal["refuse", "strip"] = Field(
        default="strip", description="What becomes of group lengths (retired)."
    )
    header: Literal["strict", "lax"] = Field(
        default="strict",
        description=(
            "strict: SOP class and instance stand in the data set, and the file meta information "
            "names the same. lax: it may contradict, and the data set's are taken; where the data "
            "set has none, the file's are."
        ),
    )
    default_charset: Literal["ASCII", "UTF-8", "GB18030", "GBK", "ISO-8859-1"] = Field(
        default="ASCII",
        description="Character set of texts where SpecificCharacterSet is not there.",
    )
    values: Literal["standard", "any"] = Field(
        default="standard",
        description=(
            "standard: texts, dates, numbers and UIDs are of the form and length that the standard "
            "gives them. any: only characters, character sets and the sizes of numbers are judged."
        ),
    )
    depth_max: Annotated[int, Field(ge=1, le=64)] = Field(
        default=16, description="Deepest nesting of sequences."
    )
    elements_max: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=100_000, description="Most elements, items and fragments of pixels."
    )
    value_bytes_max: Annotated[int, Field(ge=1024, le=4 * 1024 * 1024)] = Field(
        default=1024 * 1024,
        description="Longest value but of bytes and words (pixels, waveforms, documents).",
    )
    bytes_max: Annotated[int, Field(ge=1, le=OBJECT_BYTES_MAX)] = Field(
        default=2 * 1024**3, description="Largest instance, in bytes, as received and as rebuilt."
    )

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        from validators.dicom import dictionary  # slow to load: only where DICOM is carried

        if self.sop_classes != "any":
            for name in self.sop_classes:
                dictionary.sop_class_uid(name)
        if self.elements != "any":
            for name in self.elements:
                dictionary.tag_of(name)
        return self

    @model_validator(mode="after")
    def _allow_needs_any(self) -> Self:
        if self.elements != "any" and self.unknown_elements == "allow":
            raise ValueError('unknown_elements = "allow" needs elements = "any"')
        return self
