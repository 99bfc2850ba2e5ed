"""HL7 v2 messages, and the answers that are built from their headers and read from sinks."""

from __future__ import annotations

from ferry_format.reasons import NOT_WELL_FORMED
from tests.fuzz.harness import MARK, Harness, hold, validators
from validators.hl7v2.acknowledgement import build_ack, parse_ack
from validators.hl7v2.header import read_header

_CHANNELS = validators(
    {
        "hl7v2": {
            "messages": ["*"],
            "segments": "any",
            "charset_out": "UTF-8",
            "attachments": ["application/pdf", "text/plain"],
        }
    },
    {
        "hl7v2": {
            "messages": ["*"],
            "segments": "any",
            "header": "lax",
            "escapes": "any",
            "hex_line_breaks": True,
            "default_charset": "GB18030",
        }
    },
    {
        "hl7v2": {
            "messages": ["ADT^*", "ORU^R01"],
            "segments": ["PID", "OBX", "Z*"],
            "fields": ["PID-3", "PID-5", "OBX-*"],
            "unknown_fields": "strip",
            "required": ["PID-3", "PID-5.1"],
            "rules": [
                {"at": "PID-8", "values": ["M", "F"], "repetitions_max": 1},
                {"at": "OBX-5.2", "chars_max": 9},
            ],
            "segments_max": 20,
            "fields_max": 30,
            "field_chars_max": 2000,
            "repetitions_max": 5,
            "components_max": 5,
        }
    },
)
_MSH = "MSH|^~\\&|HIS|H|EMR|H|20261124080000||{}|4711|P|2.5||||||{}\r"


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)
    header = read_header(data)
    if header is not None:
        answer = parse_ack(build_ack(header, "AR", NOT_WELL_FORMED, "1", 0, place="segment 1"))
        assert answer is None or answer.code == "AR"
    parse_ack(data)


def seeds() -> list[bytes]:
    pid = f"PID|1||{MARK}^^^H||{MARK}^芳||19800229|F\r"
    obx = "OBX|1|ED|R^report||LIS^application^pdf^Base64^JVBERi0xLjcgYQ==||||||F\r"
    return [
        (_MSH.format("ADT^A01^ADT_A01", "UNICODE UTF-8") + pid).encode(),
        (_MSH.format("ADT^A01", "GB 18030-2000") + pid).encode("gb18030"),
        (
            _MSH.format("ORU^R01", "") + pid + obx + f"OBX|2|FT|||\\H\\{MARK}\\N\\\\X41\\~b\r"
        ).encode(),
        _MSH.format("ACK", "ASCII").encode() + b"MSA|AA|4711\rERR|||207|E\r",
        f"MSH#*!/@#A#B#C#D#2026##ADT*A08#{MARK}#P#2.3\nZPV#1*2@3!4\n".encode(),
    ]


HARNESS = Harness(
    check,
    seeds,
    ("hl7v2/", "malicious/gen_hl7/"),
    [
        *rb"""
    MSH|^~\& PID| OBX|1|ED||| MSA|AA| ^Base64^ ^Hex^ \X0D\ \C2842\ \M2433\ \.br\ 8859/1 BHS| FHS|
    """.split(),
        b"GB 18030-2000",
        b"UNICODE UTF-8",
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
    ],
)
