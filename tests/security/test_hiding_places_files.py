"""Where data could hide in archives and in DICOM objects: refused, or gone on the other side.

What a file of another type holds is not parsed: it crosses as it is, where its type is named.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import struct
import zipfile
import zlib

import pytest

from tests.simulator.hiding import HIDDEN, Place, check

WORD = HIDDEN.encode()
ANY = b"{}"
POLICY = {
    "json": {
        "schema_file": "any.json",
        "schema_sha256": hashlib.sha256(ANY).hexdigest(),
        "files": [{"at": "/file", "types": ["application/zip", "application/gzip"]}],
    }
}
NOT_ALLOWED = ("attachment_not_allowed",)
TEXT = b"a report " * 9


def message(file: bytes) -> bytes:
    return json.dumps({"file": base64.b64encode(file).decode()}).encode()


def zipped(**entry: object) -> bytes:
    """A ZIP of two entries, the first of which has these attributes of ZipInfo."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.txt", "b.txt"):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in entry.items():
                setattr(info, key, value if name == "a.txt" else getattr(info, key))
            archive.writestr(info, TEXT)
    return written.getvalue()


def with_data(packed: bytes, told_bytes: int = len(TEXT)) -> bytes:
    """A ZIP of one entry with these deflated bytes, of which both headers say the same."""
    crc = zlib.crc32(TEXT[:told_bytes])
    told = struct.pack("<4H3L", 0, zipfile.ZIP_DEFLATED, 0, 0x21, crc, len(packed), told_bytes)
    local = b"PK\3\4\x14\0" + told + struct.pack("<2H", 5, 0) + b"a.txt" + packed
    directory = b"PK\1\2\x14\0\x14\0" + told + struct.pack("<5H2L", 5, 0, 0, 0, 0, 0, 0)
    central = directory + b"a.txt"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local), 0)
    return local + central + end


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def gzipped(flags: int, *fields: bytes) -> bytes:
    packed = gzip.compress(TEXT, mtime=0)
    return packed[:3] + bytes([flags]) + packed[4:10] + b"".join(fields) + packed[10:]


EXTRA = struct.pack("<2H", 0xCAFE, len(WORD)) + WORD
TIMES = struct.pack("<2HBL", 0x5455, 5, 1, 0)
PLAIN_ZIP = zipped()
END = PLAIN_ZIP.index(b"PK\5\6")
DIRECTORY = PLAIN_ZIP.index(b"PK\1\2")
FILES = {
    "ZIP: its comment": PLAIN_ZIP[:-2] + struct.pack("<H", len(WORD)) + WORD,
    "ZIP: an entry's comment": zipped(comment=WORD),
    "ZIP: an extra field": zipped(extra=EXTRA),
    "ZIP: an extra field of times": zipped(extra=struct.pack("<2H", 0x5455, 99) + WORD.ljust(99)),
    "ZIP: behind the extra fields": zipped(extra=TIMES + b"abc"),
    "ZIP: behind": PLAIN_ZIP + WORD,
    "ZIP: before": WORD + PLAIN_ZIP,
    "ZIP: before, as an entry": b"PK\3\4" + WORD + PLAIN_ZIP,
    "ZIP: before the directory": PLAIN_ZIP[:DIRECTORY] + WORD + PLAIN_ZIP[DIRECTORY:],
    "ZIP: behind the directory": PLAIN_ZIP[:END] + WORD + PLAIN_ZIP[END:],
    "ZIP: an entry that is not announced": PLAIN_ZIP[: END + 8]
    + b"\1\0\1\0"
    + PLAIN_ZIP[END + 12 :],
    "ZIP: another name in the entry": PLAIN_ZIP.replace(b"a.txt", b"Q.txt", 1),
    "ZIP: another method in the entry": PLAIN_ZIP[:8] + b"\0" + PLAIN_ZIP[9:],
    "ZIP: behind the deflated data": with_data(deflated(TEXT) + WORD),
    "ZIP: unpacks to more than it says": with_data(deflated(TEXT), len(TEXT) - 9),
    "gzip: its comment": gzipped(0x10, WORD + b"\0"),
    "gzip: an extra field": gzipped(0x4, struct.pack("<H", len(WORD)), WORD),
    "gzip: a name that leads elsewhere": gzipped(0x8, b"../" + WORD + b"\0"),
    "gzip: behind": gzip.compress(TEXT) + WORD,
    "gzip: a second one": gzip.compress(TEXT) + gzip.compress(WORD),
}
PLACES = [Place(where, message(file), NOT_ALLOWED) for where, file in FILES.items()]


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_archives(place: Place) -> None:
    check(place, message(PLAIN_ZIP), POLICY, **{"any.json": ANY})


@pytest.mark.parametrize(
    "file",
    [PLAIN_ZIP, zipped(extra=TIMES), with_data(deflated(TEXT)), gzipped(0x8, b"a.txt\0")],
)
def test_archives_that_hide_nothing_cross(file: bytes) -> None:
    check(Place("nowhere", message(file), "gone"), message(file), POLICY, **{"any.json": ANY})


def test_the_preamble_of_a_dicom_object() -> None:
    policy = {"object": {"type": "application/dicom"}}
    rest = b"DICM" + bytes(64)
    place = Place("the preamble", WORD.ljust(128, b"\0") + rest, "gone")
    check(place, bytes(128) + rest, policy)
