"""From a name on the medium to a verified, unsealed file; what is refused on the way, once.

A refused file is entered in quarantine when it is first met and remembered by its identity, so that
later looks cost a read and no verification, and tell nothing again. A file that takes its place (a
resend) has another identity and is judged anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ferry_format import reasons
from ferry_format.container import Opener
from ferry_format.medium.layout import file_path
from ferry_format.medium.reader import UntrustedFile
from ferry_format.medium.safe_open import HostileFile, Identity
from ferry_format.reasons import Refused
from ferry_format.stream import Link
from inner_agent.intake_decisions import PLACE_CHARS_MAX, OpenedFile, storable
from inner_agent.journal_writer import JournalWriter
from inner_agent.quarantine import RefusedThing
from inner_agent.verifier_reports import Reports

_REMEMBERED_MAX: Final = 4096
_MAY_PASS_LATER: Final = frozenset(
    {reasons.KEY_NOT_VALID_NOW, reasons.FILE_CHANGED, reasons.FILE_NOT_READABLE}
)
"""The same bytes may be lawful at another time, so each look judges them again."""

Place = tuple[bytes, int]


class UntrustedFiles(Protocol):
    """What the verifier needs of ferry_format.medium.reader.MediumReader to open files."""

    def read(self, stream_id: bytes, sequence: int) -> UntrustedFile | None:
        """The file of a sequence, None if it is not there; raises HostileFile, Unavailable."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that passed, and what it was made from."""

    file: OpenedFile
    untrusted: UntrustedFile


class FileOpening:
    """Opens files by place. `clock_ms` tells unix milliseconds."""

    def __init__(
        self,
        medium: UntrustedFiles,
        opener: Opener,
        journal: JournalWriter,
        reports: Reports,
        clock_ms: Callable[[], int],
    ) -> None:
        self._medium = medium
        self._opener = opener
        self._journal = journal
        self._reports = reports
        self._clock_ms = clock_ms
        self._refused: OrderedDict[Place, tuple[Identity | None, Refused]] = OrderedDict()

    def open(self, stream_id: bytes, sequence: int) -> Opened | None:
        """The verified and unsealed file of a sequence, None if it is not there.

        Raises Refused (and has it in quarantine), Unavailable while the medium cannot be read.
        """
        place = (stream_id, sequence)
        try:
            untrusted = self._medium.read(stream_id, sequence)
        except HostileFile as error:
            self._enter(place, error, error.identity, None)
            raise
        if untrusted is None:
            self._refused.pop(place, None)
            return None
        identity, before = self._refused.get(place, (None, None))
        if before is not None and identity == untrusted.identity:
            raise Refused(before.reason, before.where)
        try:
            file = self._verified(place, untrusted.data)
        except Refused as refusal:
            self._enter(place, refusal, untrusted.identity, untrusted.data)
            raise
        return Opened(file, untrusted)

    def refuse(self, opened: Opened, error: Refused) -> None:
        """Put a file that was opened, but does not fit its stream, into quarantine."""
        place = (opened.file.stream_id, opened.file.sequence)
        self._enter(place, error, opened.untrusted.identity, opened.untrusted.data)

    def forget(self) -> None:
        """Judge everything anew: an operator's order changed what is lawful."""
        self._refused.clear()

    def _verified(self, place: Place, data: bytes) -> OpenedFile:
        verified = self._opener.verify(data, self._clock_ms())
        header = verified.header
        if (header.stream_id, header.sequence) != place:
            raise Refused(reasons.NAME_MISMATCH, f"holds sequence {header.sequence}")
        content = self._opener.unseal(verified)
        link = Link(verified.digest, header.previous_digest)
        return OpenedFile(*place, link, verified.sender.name, content)

    def _enter(
        self, place: Place, error: Refused, identity: Identity | None, data: bytes | None
    ) -> None:
        if error.reason not in _MAY_PASS_LATER:
            self._refused[place] = (identity, error)
            if len(self._refused) > _REMEMBERED_MAX:
                self._refused.popitem(last=False)
        thing = RefusedThing(
            "file",
            error.reason,
            storable(error.where, PLACE_CHARS_MAX),
            b"" if data is None else hashlib.sha256(data).digest(),
            data,
            *place,
            name=file_path(*place),
        )
        if self._journal.refuse(thing, self._clock_ms()):
            self._reports.file_refused(thing)
