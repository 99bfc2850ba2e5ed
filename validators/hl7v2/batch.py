"""HL7 v2 batches (HL7 v2.5.1, 2.10.3): a file of messages taken apart, and answered.

    file = FHS, 1*batch, FTS / batch;  batch = BHS, *message, BTS; below FHS, BHS and BTS may lack

FHS, BHS, BTS and FTS belong to the way that messages come, so nothing of them crosses. What begins
must end (unless the channel takes batches without trailers), and the counts in BTS-1 and FTS-1 must
be true where they are filled: a file that was cut off on its way is refused whole, before any of
its messages is looked at. CR and LF end segments in every character set that is read, so bytes can
be cut before they are decoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from ferry_format.reasons import LIMIT_EXCEEDED, NOT_WELL_FORMED, Refused
from validators.hl7v2.acknowledgement import escaped, harmless
from validators.hl7v2.charset import BYTE_ORDER_MARK
from validators.hl7v2.header import BATCH_HEADERS, MessageHeader, read_batch_header
from validators.hl7v2.separators import SEGMENT_END

# It begins with one of two characters, so the search is quick: 10 ms a megabyte.
_BOUNDARY: Final = re.compile(rb"[\r\n]((FHS|BHS|MSH|BTS|FTS)[^\r\n]*)")
_COUNT: Final = re.compile(rb"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one batch, as they came; `header` is its BHS, None below a bare FHS."""

    header: MessageHeader | None
    messages: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class BatchFile:
    """One or more batches; `header` is the FHS around them, if there is one."""

    header: MessageHeader | None
    batches: tuple[Batch, ...]

    @property
    def messages(self) -> Iterator[bytes]:
        """Every message, in order."""
        return (message for batch in self.batches for message in batch.messages)


def is_batch(payload: bytes) -> bool:
    """Whether these bytes begin as a batch or a file of batches does."""
    return payload.removeprefix(BYTE_ORDER_MARK).startswith(BATCH_HEADERS)


def read_batch_file(
    payload: bytes,
    messages_max: int,
    default_charset: str = "UTF-8",
    *,
    needs_trailers: bool = True,
) -> BatchFile:
    """The batches that a payload holds. Raises Refused(NOT_WELL_FORMED, LIMIT_EXCEEDED).

    `default_charset` is the channel's (a CharsetName of the policy), for FHS and BHS.
    """
    if not is_batch(payload):
        raise Refused(NOT_WELL_FORMED, "no FHS or BHS")
    data = b"\r" + payload.removeprefix(BYTE_ORDER_MARK)
    reader = _Reader(messages_max, default_charset, needs_trailers=needs_trailers)
    boundaries = [*_BOUNDARY.finditer(data)]
    ends = [*(found.start(1) for found in boundaries[1:]), len(data)]
    for found, end in zip(boundaries, ends, strict=True):
        line, name = found[1], found[2]
        if name == b"MSH":
            reader.message(data[found.start(1) : end])
        elif data[found.end() : end].strip(b"\r\n"):
            raise Refused(NOT_WELL_FORMED, f"a segment outside a message, after {name.decode()}")
        else:
            reader.boundary(name, line)
    return reader.file()


class _Reader:
    """What has come so far: at most one file header, closed batches, and an open one."""

    def __init__(self, messages_max: int, default_charset: str, *, needs_trailers: bool) -> None:
        self._messages_max = messages_max
        self._default_charset = default_charset
        self._needs_trailers = needs_trailers
        self._header: MessageHeader | None = None
        self._batch_header: MessageHeader | None = None
        self._is_open = False
        self._is_over = False
        self._messages: list[bytes] = []
        self._batches: list[Batch] = []
        self._count = 0

    def message(self, data: bytes) -> None:
        bare_below_file = self._header is not None and not self._batches
        if self._is_over or not (self._is_open or bare_below_file):
            raise Refused(NOT_WELL_FORMED, "a message outside a batch")
        self._is_open = True
        self._count += 1
        if self._count > self._messages_max:
            raise Refused(LIMIT_EXCEEDED, f"more than {self._messages_max} messages in a batch")
        self._messages.append(data)

    def boundary(self, name: bytes, line: bytes) -> None:
        {b"FHS": self._fhs, b"BHS": self._bhs, b"BTS": self._bts, b"FTS": self._fts}[name](line)

    def _fhs(self, line: bytes) -> None:
        if self._header is not None or self._batches or self._is_open:
            raise Refused(NOT_WELL_FORMED, "FHS is not the first segment")
        self._header = _header(line, self._default_charset)

    def _bhs(self, line: bytes) -> None:
        if self._is_open and self._batch_header is not None and not self._needs_trailers:
            self._close()
        if self._is_open or self._is_over:
            raise Refused(NOT_WELL_FORMED, "BHS within a batch, or after FTS")
        self._batch_header = _header(line, self._default_charset)
        self._is_open = True

    def _bts(self, line: bytes) -> None:
        if self._batch_header is None:
            raise Refused(NOT_WELL_FORMED, "BTS without BHS")
        _check_count(line, self._batch_header, len(self._messages))
        self._close()

    def _fts(self, line: bytes) -> None:
        is_within = self._batch_header is not None and self._needs_trailers
        if self._header is None or is_within or self._is_over:
            raise Refused(NOT_WELL_FORMED, "FTS without FHS, or within a batch")
        if self._is_open:
            self._close()
        _check_count(line, self._header, len(self._batches))
        self._is_over = True

    def _close(self) -> None:
        self._batches.append(Batch(self._batch_header, tuple(self._messages)))
        self._batch_header, self._is_open = None, False
        self._messages.clear()

    def file(self) -> BatchFile:
        if self._needs_trailers and self._batch_header is not None:
            raise Refused(NOT_WELL_FORMED, "no BTS at the end: the batch was cut off")
        if self._needs_trailers and self._header is not None and not self._is_over:
            raise Refused(NOT_WELL_FORMED, "no FTS at the end: the file was cut off")
        if self._is_open:
            self._close()
        return BatchFile(self._header, tuple(self._batches))


def _header(line: bytes, default_charset: str) -> MessageHeader:
    header = read_batch_header(line, default_charset)
    if header is None:
        raise Refused(NOT_WELL_FORMED, f"{line[:3].decode()}-1 or {line[:3].decode()}-2")
    return header


def _check_count(line: bytes, header: MessageHeader, number: int) -> None:
    """Hold the count in a trailer's first field, if it has one, against what came."""
    name, *fields = line.split(header.separators.field.encode())
    told = fields[0] if fields else b""
    if name not in {b"BTS", b"FTS"} or (told and _COUNT.fullmatch(told) is None):
        raise Refused(NOT_WELL_FORMED, f"{line[:3].decode()}-1")
    if told and int(told) != number:
        raise Refused(NOT_WELL_FORMED, f"{line[:3].decode()}-1 counts other than the {number} here")


def build_batch_answer(
    file: BatchFile, answers: Sequence[Sequence[bytes]], control_id: str, now_ms: int
) -> bytes:
    """A batch of acknowledgements for each batch, in the same envelope (HL7 v2.5.1, 2.10.3.3).

    `answers` are each batch's acknowledgements, `control_id` is the answer's own id. `now_ms`: unix
    milliseconds.
    """
    written = bytearray()
    for batch, acknowledgements in zip(file.batches, answers, strict=True):
        header = batch.header
        if header is not None:
            written += _answer_header("BHS", header, control_id, now_ms)
        written += b"".join(acknowledgements)
        if header is not None:
            written += _trailer("BTS", header, len(acknowledgements))
    if file.header is None:
        return bytes(written)
    opening = _answer_header("FHS", file.header, control_id, now_ms)
    return opening + written + _trailer("FTS", file.header, len(file.batches))


def _answer_header(name: str, asked: MessageHeader, control_id: str, now_ms: int) -> bytes:
    now = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%d%H%M%S+0000")
    fields = [
        name,
        asked.separators.encoding_characters,
        harmless(asked.receiving_application),
        harmless(asked.receiving_facility),
        harmless(asked.sending_application),
        harmless(asked.sending_facility),
        now,
        "",
        "",
        "",
        escaped(control_id, asked.separators),
        harmless(asked.control_id),
    ]
    line = asked.separators.field.join(fields).rstrip(asked.separators.field)
    return (line + SEGMENT_END).encode(asked.codec)


def _trailer(name: str, asked: MessageHeader, number: int) -> bytes:
    return f"{name}{asked.separators.field}{number}{SEGMENT_END}".encode()
