"""Files inside messages, archives among them: told by content, unpacked in bounds."""

from __future__ import annotations

import gzip
import io
import zipfile
from base64 import b64encode
from contextlib import suppress
from typing import get_args

from ferry_format.reasons import Refused
from tests.fuzz.harness import BYTES_MAX, Harness, hold, validators
from validators import embedded
from validators.embedded import FileType

_TYPES = get_args(FileType)
_OBJECTS = validators(*({"object": {"type": each}} for each in ("application/dicom", "image/png")))


def check(data: bytes) -> None:
    for declared in (None, *_TYPES):
        with suppress(Refused):
            embedded.check(data, _TYPES, declared, "file")
    digits = embedded.without_white_space(data.decode("latin-1"))
    with suppress(Refused):
        assert b64encode(embedded.decoded(digits, BYTES_MAX, "file")).decode() == digits
    with suppress(Refused):
        assert embedded.decoded_hex(digits, BYTES_MAX, "file").hex().upper() == digits
    for channel in _OBJECTS:
        hold(channel, data)


def seeds() -> list[bytes]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        written.writestr("a/b.txt", b"abc" * 100)
        written.writestr("病历.txt", b"")
    return [
        archive.getvalue(),
        gzip.compress(b"abc" * 100, mtime=0),
        bytes(128) + b"DICM" + bytes(20),
        b"JVBERi0x LjcgYQ==\r\n",
        b"255044462D312E37",
        b"%PDF-1.7 a report",
        "a note: 患者".encode(),
    ]


HARNESS = Harness(
    check,
    seeds,
    ("malicious/gen_zip/", "malicious/gen_dicom/", "malicious/gen_av/"),
    (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x07\x08", b"\x1f\x8b\x08", b"DICM", b"../"),
)
