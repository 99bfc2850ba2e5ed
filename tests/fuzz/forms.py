"""Forms: both character sets, unknown fields refused and stripped, repetitions."""

from __future__ import annotations

from urllib.parse import quote_plus

from tests.fuzz.harness import MARK, Harness, hold, validators

_FIELDS = [
    {"name": "id", "type": "integer", "required": True},
    {"name": "name", "pattern": "[^0-9]*", "chars_max": 40, "repetitions_max": 3},
    {"name": "day", "type": "date"},
    {"name": "科室", "values": ["a", "b", ""]},
]
_CHANNELS = validators(
    {"form": {"fields": _FIELDS, "unknown_fields": "strip", "control_id": "id"}},
    {"form": {"fields": _FIELDS, "charset": "GB18030"}},
    {"form": {"fields": [{"name": "a", "repetitions_max": 9}], "fidelity": "verbatim"}},
)


def check(data: bytes) -> None:
    for channel in _CHANNELS:
        hold(channel, data)


def seeds() -> list[bytes]:
    department = quote_plus("科室", encoding="gb18030")
    return [
        f"id=7&name={MARK}+%e7%8e%8b&day=2026-11-24&more={MARK}".encode(),
        f"{department}=a&id=1&name=x&name=y".encode(),
        f"{quote_plus('科室')}=b&id=1".encode(),
        b"a=1&a=&a=%0D%0A*-._~!",
    ]


HARNESS = Harness(check, seeds, (), (b"%", b"%u", b"&", b"=", b"+", b";", b"%00", b"%E2%80%AE"))
