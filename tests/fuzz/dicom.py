"""DICOM instances: a strict channel, and one that takes whatever is lawful; whole and in pieces."""

from __future__ import annotations

from tests.fuzz.harness import MARK, Harness, hold
from tests.simulator.dicom_files import ct, delimiter, element, file, item
from validators.dicom.syntaxes import NAMES
from validators.dicom.validator import CONTENT_TYPE, DicomValidator, judge_whole
from validators.policy import DicomPolicy
from validators.verdict import Verdict

_PIECE_BYTES = 100


class _InPieces:
    """A channel that judges a whole instance, and the same in pieces, with one verdict."""

    content_type = CONTENT_TYPE

    def __init__(self, policy: DicomPolicy) -> None:
        self._validator = DicomValidator(policy)

    def validate(self, payload: bytes) -> Verdict:
        verdict = judge_whole(self._validator, payload)
        if len(payload) < 100 * _PIECE_BYTES:
            assert judge_whole(self._validator, payload, _PIECE_BYTES) == verdict, "pieces differ"
        return verdict


_CHANNELS = [
    _InPieces(DicomPolicy(sop_classes=("CTImageStorage",))),
    _InPieces(
        DicomPolicy(
            sop_classes="any",
            transfer_syntaxes=tuple(NAMES),
            unknown_elements="allow",
            private_creators="any",
            header="lax",
            values="any",
            default_charset="GB18030",
        )
    ),
]


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    name = element(0x00100010, b"PN", f"{MARK}^A".encode())
    nested = element(0x00081115, b"SQ", item(name, 0xFFFFFFFF) + delimiter(0xFFFEE00D))
    private = element(0x00290010, b"LO", b"SITE") + element(0x00291001, b"UN", item(name))
    return [
        ct(rows=2, PatientName=MARK),
        ct(rows=2, implicit=True),
        file(nested, name, private),
        file(element(0x00081115, b"UN", item(b"\x08\0\x50\x11\4\0\0\0" + b"1.2\0")), name),
    ]


HARNESS = Harness(
    check,
    seeds,
    ("dicom", "malicious/gen_dicom"),
    (
        b"\xfe\xff\x00\xe0",
        b"\xfe\xff\x0d\xe0",
        b"\xfe\xff\xdd\xe0",
        b"\xff\xff\xff\xff",
        b"SQ\0\0",
        b"UN\0\0",
        b"OB\0\0",
        b"\xe0\x7f\x10\0",
        b"\x1b$)A",
    ),
)
