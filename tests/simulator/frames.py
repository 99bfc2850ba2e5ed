"""Ferry files laid out by hand, offset by offset, so that they can be unlawful at any place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ferry_format.container import GENESIS_DIGEST, Sealer
from ferry_format.identifiers import lane_id
from ferry_format.keys import KeyFile
from ferry_format.suites import ed25519_hybrid

NOW_MS = 1_795_000_000_000
LANE = "front-to-inside"
STREAM = bytes(range(16))
SEAL_BYTES = ed25519_hybrid.NONCE_BYTES + ed25519_hybrid.TAG_BYTES


@dataclass(frozen=True)
class Parts:
    """A frame before it is put together, field by field; `ciphertext_bytes` may lie."""

    sender: bytes
    receiver: bytes
    lane: bytes
    stream: bytes
    sequence: int
    encapsulation: bytes
    ciphertext: bytes
    ciphertext_bytes: int
    head: bytes = b"\x9c\xc4\x08\x89FERRY\r\n"
    version: int = 1
    suite: int = 1
    sequence_marker: bytes = b"\xcf"
    previous: bytes = GENESIS_DIGEST
    encapsulation_bytes: int = ed25519_hybrid.ENCAPSULATION_BYTES
    ciphertext_marker: bytes = b"\xc6"
    signature_marker: bytes = b"\xc4\x40"

    def front(self) -> bytes:
        """Everything before the ciphertext: what the seal binds."""
        return (
            self.head
            + bytes((0xCC, self.version, 0xCC, self.suite))
            + b"\xc4\x20" + self.sender
            + b"\xc4\x20" + self.receiver
            + b"\xc4\x20" + self.lane
            + b"\xc4\x10" + self.stream
            + self.sequence_marker + self.sequence.to_bytes(8, "big")
            + b"\xc4\x20" + self.previous
            + b"\xc5" + self.encapsulation_bytes.to_bytes(2, "big") + self.encapsulation
            + self.ciphertext_marker + self.ciphertext_bytes.to_bytes(4, "big")
        )  # fmt: skip

    def signed(self, key: KeyFile) -> bytes:
        """The file: what is signed here holds, whatever the parts are."""
        part = self.front() + self.ciphertext + self.signature_marker
        return part + ed25519_hybrid.sign(key.signing_key(), ed25519_hybrid.digest(part))


class Site:
    """The keys of a sender, a stranger and two receivers, and files made with them."""

    def __init__(self, keys: dict[str, KeyFile]) -> None:
        self.keys = keys

    def public(self, name: str) -> Any:
        public = self.keys[name].public
        assert public is not None
        return public

    def sealer(
        self,
        *,
        sender: str = "sender",
        receiver: str = "receiver",
        lane: str = LANE,
        stream: bytes = STREAM,
    ) -> Sealer:
        return Sealer(self.keys[sender], self.public(receiver), lane, stream)

    def parts(self, plaintext: bytes, sequence: int = 1, *, epoch_lane: str = LANE) -> Parts:
        """A lawful frame around any plaintext; the epoch can be another lane's."""
        sender, receiver = self.public("sender").key_id, self.public("receiver").key_id
        secret, encapsulation = ed25519_hybrid.encapsulate(
            ed25519_hybrid.receive_public_key(self.public("receiver").raw),
            lane_id(epoch_lane) + sender + receiver + STREAM,
        )
        size = len(plaintext) + SEAL_BYTES
        said = (sender, receiver, lane_id(LANE), STREAM, sequence, encapsulation)
        front = Parts(*said, b"", size).front()
        place = STREAM + sequence.to_bytes(8, "big")
        return Parts(*said, ed25519_hybrid.encrypt(secret, place, front, plaintext), size)

    def sealed(self, plaintext: bytes) -> bytes:
        return self.parts(plaintext).signed(self.keys["sender"])
