"""What is said to an ICAP service, what its answers mean, and which service can serve."""

from __future__ import annotations

import pytest

from ferry_format.reasons import FerryError, Refused, Unavailable
from ferry_runtime.scanner import icap

SERVICE = icap.Service.parse("icap://192.0.2.7:1344/avscan")
CLEAN = b'ICAP/1.0 204 Unmodified\r\nISTag: "x"\r\n\r\n'
MODIFIED = (
    b"ICAP/1.0 200 OK\r\n%sEncapsulated: res-hdr=0, res-body=9\r\n\r\nHTTP/1.0 403 No\r\n\r\n"
)
OPTIONS = b"ICAP/1.0 200 OK\r\nMethods: RESPMOD, REQMOD\r\nService: AV 7\r\nAllow: 204\r\n\r\n"


def failure(reply: bytes) -> FerryError:
    with pytest.raises(FerryError) as caught:
        icap.check(reply)
    return caught.value


def test_the_parts_stand_where_the_request_says() -> None:
    head, _, body = SERVICE.begin().partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "RESPMOD icap://192.0.2.7:1344/avscan ICAP/1.0"
    assert "Host: 192.0.2.7:1344" in lines
    assert "Allow: 204" in lines
    assert not any(line.startswith("Preview") for line in lines)
    offsets = dict(part.split("=") for part in lines[-1].partition(": ")[2].split(", "))
    assert body[int(offsets["res-hdr"]) :].startswith(b"HTTP/1.1 200 OK")
    assert int(offsets["res-body"]) == len(body)


def test_chunks_hold_all_bytes_and_each_says_its_length() -> None:
    data = bytes(range(256)) * 3000
    sent = b"".join(icap.chunks(data)) + icap.END
    seen = b""
    while True:
        size, _, sent = sent.partition(b"\r\n")
        if not int(size, 16):
            break
        seen, sent = seen + sent[: int(size, 16)], sent[int(size, 16) :].removeprefix(b"\r\n")
    assert (seen, sent) == (data, b"\r\n")
    assert list(icap.chunks(b"")) == []


def test_only_204_lets_pass() -> None:
    icap.check(CLEAN)
    for reply in (
        b"",
        CLEAN[:-2],
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"ICAP/1.0 100 Continue\r\n\r\n",
        b"ICAP/1.0 206 Partial\r\n\r\n",
        b"ICAP/1.0 404 Not found\r\n\r\n",
        b"ICAP/1.0 500 Server error\r\n\r\n",
        b"ICAP/1.0 2040 x\r\n\r\n",
        b"\r\n" + CLEAN,
    ):
        error = failure(reply)
        assert isinstance(error, Unavailable), reply
        assert error.reason.code == "scanner_unavailable"


@pytest.mark.parametrize(
    ("told", "name"),
    [
        (b"X-Infection-Found: Type=0; Resolution=2; Threat=Eicar-Test.X;\r\n", "Eicar-Test.X"),
        (b"x-virus-id: Win.Test EICAR\r\n", "Win.Test_EICAR"),
        (b"X-Violations-Found: 1\r\n", "1"),
        (b"", "no name told"),
        (b"X-Virus-ID: \xe5\xbc\xa0\r\n", "_"),
        (b"X-Virus-ID: " + b"x" * 1000 + b"\r\n", "x" * 80),
    ],
)
def test_what_the_service_changes_is_refused_by_the_name_it_tells(told: bytes, name: str) -> None:
    error = failure(MODIFIED % told)
    assert isinstance(error, Refused)
    assert (error.reason.code, error.where) == ("virus_found", name)


def test_a_find_counts_whatever_the_status() -> None:
    reply = CLEAN.replace(b"\r\n\r\n", b"\r\nX-Virus-ID: X\r\n\r\n")
    assert failure(reply).reason.code == "virus_found"


def test_a_service_must_scan_answers_and_say_204() -> None:
    assert icap.described(OPTIONS) == "AV 7"
    for reply in (
        b"ICAP/1.0 404 Service not found\r\n\r\n",
        OPTIONS.replace(b"RESPMOD, ", b""),
        OPTIONS.replace(b"Allow: 204\r\n", b""),
        b"",
    ):
        with pytest.raises(Unavailable):
            icap.described(reply)


@pytest.mark.parametrize(
    "url", ["http://192.0.2.7/a", "icap://192.0.2.7/a", "icap://h:1344/a", "icap://[::1]:1/a b", ""]
)
def test_what_is_no_service_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(ValueError, match="write"):
        icap.Service.parse(url)
