"""Small messages to deliver."""

from __future__ import annotations


def adt(control_id: str, text: str = "张三") -> bytes:
    """An ADT^A01 with `control_id` in MSH-10, UTF-8."""
    return (
        f"MSH|^~\\&|FRONT|NET|HIS|HOSP|20260101000000||ADT^A01|{control_id}|P|2.5"
        f"||||||UNICODE UTF-8\rEVN|A01|20260101000000\rPID|1||4711||{text}\r"
    ).encode()
