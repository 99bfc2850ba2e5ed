"""Objects of channels that are judged to their end, before anything of them is published.

Each piece goes through a validation worker; what it gives back is collected, in memory or, above
8 MiB, in a file without a name in the agent's own folder, which nobody else can open and no crash
leaves behind. Only then is the rebuilt object's size known, and it crosses like any other. Where a
channel de-identifies, the rebuilt object is read again, by workers that hold keys.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from ferry_format import limits, reasons
from ferry_format.reasons import Refused, Unavailable
from outer_agent.admission import ObjectSubmission
from outer_agent.object_crossing import ReadExactly, Validation
from validators import pieces
from validators.pieces import Piece
from validators.verdict import Accepted

_IN_MEMORY_BYTES_MAX: Final = 8 * 1024 * 1024
DEIDENTIFIED_BYTES: Final = 1024 * 1024
"""One piece: it is walked twice within the time that a message has."""

_FULL_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A rebuilt object: as it is submitted, what it was accepted as, and its bytes."""

    submission: ObjectSubmission
    verdict: Accepted
    content: IO[bytes]

    async def read(self, size: int) -> bytes:
        """The next bytes, exactly so many."""
        return await asyncio.to_thread(self.content.read, size)


class _Collected:
    """What has come of an object, and its digest."""

    def __init__(self, content: IO[bytes]) -> None:
        self.content = content
        self._digest = hashlib.sha256()

    async def add(self, data: bytes) -> None:
        """Collect the next bytes."""
        self._digest.update(data)
        await asyncio.to_thread(self.content.write, data)

    def finished(self, submission: ObjectSubmission, verdict: Accepted) -> Rebuilt:
        """The whole object, to be read from its beginning."""
        size = self.content.tell()
        self.content.seek(0)
        key = submission.duplicate_key or self._digest.digest()
        known = replace(submission, whole_bytes=size, duplicate_key=key)
        return Rebuilt(known, verdict, self.content)


class Rebuilding:
    """Rebuilds objects; `folder` is the agent's own, for large ones."""

    def __init__(
        self,
        validation: Validation,
        folder: Path,
        deidentification: Validation | None = None,
        deidentified: Collection[str] = (),
    ) -> None:
        """`deidentification` takes what the workers of `validation` wrote of these channels."""
        self._validation = validation
        self._folder = folder
        self._deidentification = deidentification
        self._deidentified = frozenset(deidentified)

    @asynccontextmanager
    async def rebuilt(
        self, submission: ObjectSubmission, read: ReadExactly
    ) -> AsyncIterator[Rebuilt]:
        """The whole object, judged and rebuilt; of channels that ask for it, what may leave.

        Without a key of its sender's, a repeated object is known by these bytes. Raises Refused,
        Unavailable (also if a disk is full), and what `read` raises.
        """
        with self._collector() as collected:
            verdict = await self._rebuild(submission, read, collected)
            if submission.channel not in self._deidentified:
                yield collected.finished(submission, verdict)
                return
            with self._collector() as clean:
                changed = await self._deidentify(submission.channel, collected, clean)
                # This side's records name the object as its sender does.
                yield clean.finished(submission, replace(changed, control_id=verdict.control_id))

    @contextmanager
    def _collector(self) -> Iterator[_Collected]:
        """Where an object is collected; gone at the end."""
        with (
            _full_disks_told(),
            tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX, dir=str(self._folder)) as content,
        ):
            yield _Collected(content)

    async def _rebuild(
        self, submission: ObjectSubmission, read: ReadExactly, collected: _Collected
    ) -> Accepted:
        state, left = b"", submission.whole_bytes
        while True:
            data = await read(min(left, limits.PART_BYTES))
            left -= len(data)
            piece = Piece(state, data, is_last=not left)
            verdict, answer = await _asked(self._validation, submission.channel, piece)
            state = answer.state
            await collected.add(answer.data)
            if not left:
                return verdict

    async def _deidentify(self, channel: str, collected: _Collected, clean: _Collected) -> Accepted:
        assert self._deidentification is not None
        content, state = collected.content, b""
        size = content.tell()
        content.seek(0)
        while True:
            data = await asyncio.to_thread(content.read, DEIDENTIFIED_BYTES)
            piece = Piece(state, data, is_last=content.tell() == size)
            verdict, answer = await _asked(self._deidentification, channel, piece)
            state = answer.state
            await clean.add(answer.data)
            if answer.is_last and not state:
                return verdict
            if answer.is_last:
                content.seek(0)


async def _asked(validation: Validation, channel: str, piece: Piece) -> tuple[Accepted, Piece]:
    """The verdict on a piece, and the answer that it holds. Raises Refused and Unavailable."""
    verdict = await validation.validate(channel, piece.packed())
    if not isinstance(verdict, Accepted):
        raise Refused(verdict.reason, verdict.place)
    return verdict, pieces.unpack(verdict.payload)


@contextmanager
def _full_disks_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL_ERRORS:
            raise
        raise Unavailable(reasons.MEDIUM_FULL, "the agent's own folder") from error
