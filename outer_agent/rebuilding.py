"""Objects of channels that are judged to their end, before anything of them is published.

Each piece goes through a validation worker; what it gives back is collected, in memory or, above
8 MiB, in a file without a name in the agent's own folder, which nobody else can open and no crash
leaves behind. Only then is the rebuilt object's size known, and it crosses like any other.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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


class Rebuilding:
    """Rebuilds objects; `folder` is the agent's own, for large ones."""

    def __init__(self, validation: Validation, folder: Path) -> None:
        self._validation = validation
        self._folder = folder

    @contextmanager
    def collector(self) -> Iterator[IO[bytes]]:
        """Where an object is collected; gone at the end. Raises Unavailable if a disk is full."""
        with (
            _full_disks_told(),
            tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES_MAX, dir=str(self._folder)) as content,
        ):
            yield content

    async def rebuild(
        self, submission: ObjectSubmission, read: ReadExactly, content: IO[bytes]
    ) -> Rebuilt:
        """Judge the whole object and collect it in `content`.

        Without a key of its sender's, a repeated object is known by its rebuilt bytes. Raises
        Refused, Unavailable, and what `read` raises.
        """
        digest, state, left = hashlib.sha256(), b"", submission.whole_bytes
        while True:
            data = await read(min(left, limits.PART_BYTES))
            left -= len(data)
            piece = Piece(state, data, is_last=not left).packed()
            verdict = await self._validation.validate(submission.channel, piece)
            if not isinstance(verdict, Accepted):
                raise Refused(verdict.reason, verdict.place)
            answer = pieces.unpack(verdict.payload)
            state = answer.state
            digest.update(answer.data)
            await asyncio.to_thread(content.write, answer.data)
            if not left:
                break
        size = content.tell()
        content.seek(0)
        known = replace(
            submission,
            whole_bytes=size,
            duplicate_key=submission.duplicate_key or digest.digest(),
        )
        return Rebuilt(known, verdict, content)


@contextmanager
def _full_disks_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL_ERRORS:
            raise
        raise Unavailable(reasons.MEDIUM_FULL, "the agent's own folder") from error
