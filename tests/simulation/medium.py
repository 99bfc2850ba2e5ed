"""A medium in memory that both sides use, and everything that may happen to it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from ferry_format import reasons
from ferry_format.medium.reader import UntrustedFile
from ferry_format.medium.safe_open import Identity
from ferry_format.medium.writer import Staged
from ferry_format.reasons import StorageFault, Unavailable
from ferry_format.suites import ed25519_hybrid as suite_1
from ferry_format.suites.ed25519_hybrid import SIGNATURE_BYTES

Place = tuple[bytes, int]


class SimulatedMedium:
    """What MediumWriter and MediumReader do, as far as the pair asks for it.

    `point` is called at each instant at which a process may be killed.
    """

    def __init__(self, chance: random.Random, point: Callable[[str], None]) -> None:
        self._chance = chance
        self._point = point
        self.files: dict[Place, tuple[bytes, int]] = {}
        self.gone: dict[Place, bytes] = {}
        self.full = self.away = self.undecided = False
        self._changes = 0

    # --- the outer's side

    def stage(self, stream_id: bytes, sequence: int, data: bytes) -> Staged:
        return self.sync(self.write_aside(stream_id, sequence, data))

    def write_aside(self, stream_id: bytes, sequence: int, data: bytes) -> Staged:
        self._point("before staging")
        if self.away:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        if self.full:
            raise Unavailable(reasons.MEDIUM_FULL)
        return Staged(stream_id, sequence, "", data)

    def sync(self, aside: Staged) -> Staged:
        self._point("staged")
        return aside

    def publish(self, staged: Staged) -> None:
        self._point("before publication")
        if self.away:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        if self.undecided and self._chance.random() < 0.5:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        place = (staged.stream_id, staged.sequence)
        standing = self.files.get(place)
        if standing is not None and standing[0] != staged.data and self._is_ours(standing[0]):
            raise StorageFault(reasons.NAME_TAKEN, str(staged.sequence))
        self.put(place, staged.data)
        if self.undecided:
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        self._point("published")

    def discard(self, staged: Staged) -> None:
        pass

    def is_visible(self, stream_id: bytes, sequence: int) -> bool:
        if self.away or (self.undecided and self._chance.random() < 0.5):
            raise Unavailable(reasons.MEDIUM_UNAVAILABLE)
        return (stream_id, sequence) in self.files

    def _is_ours(self, data: bytes) -> bool:
        signed, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
        return suite_1.signature_holds(None, suite_1.digest(signed), signature)

    # --- the inner's side

    def read(self, stream_id: bytes, sequence: int) -> UntrustedFile | None:
        self._readable()
        standing = self.files.get((stream_id, sequence))
        if standing is None:
            return None
        data, number = standing
        return UntrustedFile(data, str(sequence), Identity(1, number, len(data), 0, 0))

    def streams(self) -> list[bytes]:
        self._readable()
        return sorted({stream_id for stream_id, _ in self.files})

    def available(self, stream_id: bytes, from_sequence: int) -> Iterator[int]:
        self._readable()
        yield from sorted(
            sequence
            for stream, sequence in self.files
            if stream == stream_id and sequence >= from_sequence
        )

    def _readable(self) -> None:
        if self.away:
            raise Unavailable(reasons.MEDIUM_UNREADABLE)

    # --- what happens to it

    def put(self, place: Place, data: bytes) -> None:
        """A file appears, or is replaced."""
        self._changes += 1
        self.files[place] = (data, self._changes)

    def lose(self, place: Place) -> None:
        """A file goes; it may come back."""
        self.gone[place] = self.files.pop(place)[0]

    def damage(self, place: Place) -> None:
        """A bit of a file flips."""
        data = bytearray(self.files[place][0])
        data[self._chance.randrange(len(data))] ^= 1 << self._chance.randrange(8)
        self.gone.setdefault(place, self.files[place][0])
        self.put(place, bytes(data))

    def come_back(self, place: Place) -> None:
        """A file that went stands there again."""
        self.put(place, self.gone.pop(place))

    def clean(self, below: Callable[[bytes], int]) -> None:
        """The outer's retention: files that the inner has long since read go."""
        for place in [place for place in self.files if place[1] < below(place[0])]:
            del self.files[place]
        for place in [place for place in self.gone if place[1] < below(place[0])]:
            del self.gone[place]

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self.full = self.away = self.undecided = False
