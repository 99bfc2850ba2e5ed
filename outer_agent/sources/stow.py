"""STOW-RS (PS3.18, 10.5): many instances in one request, and the answer that names each.

The body is multipart/related, a DICOM file a part. Parts are taken one after another: each is read
to its end (in memory, above 8 MiB in a file without a name), submitted, and durable before the next
one is read. What the request breaks off after is then no matter: an instance sent again is known.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import aiohttp
from aiohttp import web

from ferry_format import reasons
from ferry_format.reasons import FerryError, Refused, Unavailable
from outer_agent.admission import ObjectSubmission
from outer_agent.sources.base import Surroundings
from outer_agent.sources.dicom import status_of

CONTENT_TYPE: Final = "application/dicom+json"
PARTS_MAX: Final = 2000
_DICOM: Final = "application/dicom"
_IN_MEMORY_BYTES_MAX: Final = 8 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_UNAVAILABLE: Final = 503
_RETRY_S: Final = 5

InTime = Callable[[int], AbstractAsyncContextManager[None]]
"""Reads so many bytes within the time that they may take."""


class StudyStore:
    """Takes the instances of a request; `in_time` is the listener's limit for slow senders."""

    def __init__(self, surroundings: Surroundings, in_time: InTime) -> None:
        self._surroundings = surroundings
        self._in_time = in_time

    async def take(self, request: web.Request, channel: str, sender: str) -> web.Response:
        """Submit each part, and answer.

        Raises Refused and Unavailable where the request itself cannot be read; what was stored
        before that stays stored. If only its rest must wait, the answer names what was stored.
        """
        intake = self._surroundings.intake
        content = intake.content_of(channel)
        if content is None or content.dicom is None:
            raise Refused(reasons.ENTRY_KIND_NOT_ALLOWED, f"channel {channel}")
        outcomes = Outcomes()
        try:
            async for file in instances(
                request, content.dicom.bytes_max, self._surroundings.state_dir, self._in_time
            ):
                await self._submit(channel, sender, file, outcomes)
        except Unavailable as failure:
            if not outcomes.stored:
                raise
            intake.note_failure(channel, sender, failure)
            outcomes.failed.append(failure)
        if not outcomes.stored and not outcomes.failed:
            raise Refused(reasons.MESSAGE_EMPTY)
        headers = {"Retry-After": str(_RETRY_S)} if outcomes.status == _UNAVAILABLE else None
        return web.Response(
            status=outcomes.status,
            body=outcomes.body(),
            content_type=CONTENT_TYPE,
            headers=headers,
        )

    async def _submit(self, channel: str, sender: str, file: IO[bytes], outcomes: Outcomes) -> None:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        now_ms = self._surroundings.clock_ms()
        submission = ObjectSubmission(channel, sender, size, None, None, now_ms)
        try:
            receipt = await self._surroundings.intake.submit_object(
                submission, partial(asyncio.to_thread, file.read)
            )
        except FerryError as failure:
            outcomes.failed.append(failure)
            return
        outcomes.stored.append((receipt.message_type, receipt.control_id or ""))


@dataclass(slots=True)
class Outcomes:
    """What became of each instance: SOP class and instance of those stored, the others' reasons."""

    stored: list[tuple[str, str]] = field(default_factory=list)
    failed: list[FerryError] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The response's status (PS3.18, table 10.5.3-1)."""
        if not self.failed:
            return 200
        if self.stored:
            return 202
        waits = any(not isinstance(failure, Refused) for failure in self.failed)
        return _UNAVAILABLE if waits else 409

    def body(self) -> bytes:
        """The Store Instances Response in DICOM JSON (PS3.18, annex F and I.2).

        Instances that were not stored stand in the Other Failures Sequence: what a refused file
        says of itself is not repeated.
        """
        from validators.dicom.dictionary import sop_class_uid  # only where DICOM is carried

        answer: dict[str, Any] = {}
        if self.stored:
            answer["00081199"] = _sequence(
                {
                    "00081150": _value("UI", sop_class_uid(sop_class)),
                    "00081155": _value("UI", instance),
                }
                for sop_class, instance in self.stored
            )
        if self.failed:
            answer["0008119A"] = _sequence(
                {"00081197": _value("US", status_of(failure))} for failure in self.failed
            )
        return json.dumps(answer).encode()


def _sequence(items: Any) -> dict[str, Any]:
    return {"vr": "SQ", "Value": list(items)}


def _value(representation: str, value: object) -> dict[str, Any]:
    return {"vr": representation, "Value": [value]}


async def instances(
    request: web.Request, bytes_max: int, folder: Path, in_time: InTime
) -> AsyncIterator[IO[bytes]]:
    """Each part's file, at its beginning; closed when the next one is asked for.

    A part is given once it is known whether another one follows: what is submitted last needs
    nothing more of the request. Raises Refused: CONTENT_TYPE_NOT_ALLOWED, MESSAGE_TOO_LARGE,
    LIMIT_EXCEEDED, NOT_WELL_FORMED, and what `in_time` raises.
    """
    if request.content_type != "multipart/related":
        raise Refused(reasons.CONTENT_TYPE_NOT_ALLOWED, "Content-Type")
    try:
        reader = await request.multipart()
        part = await _next_part(reader, in_time)
        for _ in range(PARTS_MAX):
            if part is None:
                return
            if not isinstance(part, aiohttp.BodyPartReader) or not _is_dicom(part):
                raise Refused(reasons.CONTENT_TYPE_NOT_ALLOWED, "part")
            with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX, dir=str(folder)) as file:
                await _collect(part, file, bytes_max, in_time)
                part = await _next_part(reader, in_time)
                yield file
    except ValueError:
        raise Refused(reasons.NOT_WELL_FORMED, "multipart body") from None
    raise Refused(reasons.LIMIT_EXCEEDED, f"more than {PARTS_MAX} parts")


async def _next_part(
    reader: aiohttp.MultipartReader, in_time: InTime
) -> aiohttp.MultipartReader | aiohttp.BodyPartReader | None:
    async with in_time(_CHUNK_BYTES):
        return await reader.next()


def _is_dicom(part: aiohttp.BodyPartReader) -> bool:
    declared = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return declared == _DICOM and "Content-Encoding" not in part.headers


async def _collect(
    part: aiohttp.BodyPartReader, file: IO[bytes], bytes_max: int, in_time: InTime
) -> None:
    while True:
        async with in_time(_CHUNK_BYTES):
            chunk = await part.read_chunk(_CHUNK_BYTES)
        if not chunk:
            break
        if file.tell() + len(chunk) > bytes_max:
            raise Refused(reasons.MESSAGE_TOO_LARGE)
        file.write(chunk)
