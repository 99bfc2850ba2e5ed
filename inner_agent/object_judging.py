"""Objects of channels that are judged to their end: part after part, as they come.

What our own policy would write differently is refused: the sender's side rebuilds under the same
rules, so an honest object comes as we would write it, and is delivered byte for byte.

How far an object was judged is kept in memory only. After a restart, or where parts came out of
order, what is stored is read and judged from the beginning again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ferry_format.reasons import REBUILT_DIFFERENTLY, Refused
from validators import pieces
from validators.pieces import Piece
from validators.verdict import Accepted, Rejected

if TYPE_CHECKING:
    from inner_agent.workplace import Validators

_OBJECTS_MAX: Final = 16
"""Objects whose state is kept, several megabytes each at worst."""


@dataclass(frozen=True, slots=True)
class _Progress:
    """`parts` were judged; `unmatched` are bytes of them that were not rebuilt yet."""

    parts: int = 0
    state: bytes = b""
    unmatched: bytes = b""


class ObjectJudging:
    """Asks the workers; belongs inside the journal's transactions.

    `on_progress` is called after each part: many in a row must not look like a hanging verifier.
    """

    def __init__(
        self,
        validators: Validators,
        channels: Collection[str],
        on_progress: Callable[[], object],
    ) -> None:
        self._validators = validators
        self._channels = frozenset(channels)
        self._on_progress = on_progress
        self._progress: dict[bytes, _Progress] = {}

    def judges(self, channel: str) -> bool:
        """Whether the channel's objects are judged to their end."""
        return channel in self._channels

    def forget(self) -> None:
        """Nothing that was judged counts: the transaction failed."""
        self._progress.clear()

    def advance(
        self,
        channel: str,
        message_id: bytes,
        count: int,
        there: Sequence[int],
        read: Callable[[int], bytes],
    ) -> Accepted | None:
        """Judge on, as far as parts are `there`; the verdict once the last of `count` was judged.

        Raises Refused (the object may not cross) and Unavailable.
        """
        progress = self._progress.pop(message_id, _Progress())
        verdict: Accepted | None = None
        while progress.parts < count and _reaches(there, progress.parts + 1):
            number = progress.parts + 1
            verdict, progress = self._step(channel, progress, read(number), is_last=number == count)
            self._on_progress()
        if progress.parts == count:
            return verdict
        while len(self._progress) >= _OBJECTS_MAX:
            self._progress.pop(next(iter(self._progress)))
        self._progress[message_id] = progress
        return None

    def _step(
        self, channel: str, progress: _Progress, data: bytes, *, is_last: bool
    ) -> tuple[Accepted, _Progress]:
        piece = Piece(progress.state, data, is_last).packed()
        [verdict] = self._validators.validate_many([(channel, piece)])
        if isinstance(verdict, Rejected):
            raise Refused(verdict.reason, verdict.place)
        answer = pieces.unpack(verdict.payload)
        came = progress.unmatched + data
        unmatched = came[len(answer.data) :]
        if not came.startswith(answer.data) or (is_last and unmatched):
            raise Refused(REBUILT_DIFFERENTLY, f"part {progress.parts + 1}")
        return verdict, _Progress(progress.parts + 1, answer.state, unmatched)


def _reaches(there: Sequence[int], number: int) -> bool:
    """Whether every part up to `number` is there; `there` ascends."""
    return len(there) >= number and there[number - 1] == number
