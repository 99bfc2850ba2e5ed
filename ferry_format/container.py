"""The fixed frame of a ferry file: lay out, sign, verify. Bytes in, a `VerifiedFile` out.

SPEC.md, chapters 4 and 5. The rules this file enforces:

1. A file's frame is read by fixed offsets alone; no parser sees a byte before the signature holds.
2. The signature covers every byte before it, under the suite that the trusted key is allowed.
3. A `VerifiedFile` comes out of `Opener.verify` and nowhere else; only it can be unsealed.
4. Each check refuses with a reason of its own, in the order of SPEC.md 4.3.

The frame is also valid msgpack (an array of twelve), so that any msgpack tool can open it.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from dataclasses import InitVar, dataclass, replace
from typing import Final

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ferry_format import envelope, limits, reasons
from ferry_format.envelope import Beacon, Content
from ferry_format.identifiers import STREAM_ID_BYTES, lane_id
from ferry_format.keys import KeyFile, KeyKind, PublicKey, TrustedSender, TrustStore
from ferry_format.reasons import Refused
from ferry_format.suites import ed25519_hybrid as suite_1

VERSION: Final = 1
MAGIC: Final = b"\x89FERRY\r\n"
GENESIS_DIGEST: Final = bytes(32)
"""The previous digest of a stream's first file."""

HEADER: Final = struct.Struct(">3s8scBcB2s32s2s32s2s32s2s16scQ2s32scH")
"""Offsets 0 to 180: each field behind the msgpack marker that announces it."""

_MARKERS: Final = (
    b"\x9c\xc4\x08",  # array of 12; bin of 8: magic
    b"\xcc",  # uint8: version
    b"\xcc",  # uint8: suite
    b"\xc4\x20",  # bin of 32: sender key id
    b"\xc4\x20",  # bin of 32: receiver key id
    b"\xc4\x20",  # bin of 32: lane id
    b"\xc4\x10",  # bin of 16: stream id
    b"\xcf",  # uint64: sequence
    b"\xc4\x20",  # bin of 32: previous digest
    b"\xc5",  # bin with a 16-bit length: key encapsulation
)
_CIPHERTEXT_MARKER: Final = struct.Struct(">cI")  # bin with a 32-bit length
_SIGNATURE_MARKER: Final = b"\xc4\x40"  # bin of 64

_ENCAPSULATION_AT: Final = HEADER.size
_CIPHERTEXT_AT: Final = _ENCAPSULATION_AT + suite_1.ENCAPSULATION_BYTES + _CIPHERTEXT_MARKER.size
_SEAL_BYTES: Final = suite_1.NONCE_BYTES + suite_1.TAG_BYTES
FRAME_BYTES: Final = _CIPHERTEXT_AT + _SEAL_BYTES + len(_SIGNATURE_MARKER) + suite_1.SIGNATURE_BYTES
"""The size of a file whose plaintext is empty: no ferry file is shorter."""

_FILES_PER_EPOCH: Final = 4096
_EPOCHS_REMEMBERED: Final = 64


@dataclass(frozen=True, slots=True)
class Header:
    """What the frame says of a file. Untrusted until its `VerifiedFile` holds it."""

    version: int
    suite: int
    sender_key_id: bytes
    receiver_key_id: bytes
    lane_id: bytes
    stream_id: bytes
    sequence: int
    previous_digest: bytes

    @property
    def place(self) -> bytes:
        """Stream id and sequence: the file's place, as its key derivation takes it."""
        return self.stream_id + self.sequence.to_bytes(8, "big")


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A ferry file ready for the medium, and the digest that the next one names."""

    data: bytes
    digest: bytes


_PROOF: Final = object()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class VerifiedFile:
    """A file whose signature held: made by `Opener.verify` alone, and never changed after it."""

    proof: InitVar[object]
    data: bytes
    header: Header
    digest: bytes
    sender: TrustedSender

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("a VerifiedFile comes out of verification alone")


def read_untrusted_header(data: bytes) -> Header:
    """The frame's fields by fixed offset; nothing is verified.

    Raises Refused: FILE_TOO_SHORT, FILE_TOO_LARGE, BAD_MAGIC, UNSUPPORTED_VERSION,
    UNSUPPORTED_SUITE, BAD_FRAME or TRAILING_BYTES (SPEC.md 4.3, steps 1 to 8).
    """
    if len(data) < FRAME_BYTES:
        raise Refused(reasons.FILE_TOO_SHORT, f"{len(data)} bytes")
    if len(data) > limits.FILE_BYTES_MAX:
        raise Refused(reasons.FILE_TOO_LARGE, f"{len(data)} bytes")
    fields = HEADER.unpack_from(data)
    _, magic, _, version, _, suite = fields[:6]
    if magic != MAGIC:
        raise Refused(reasons.BAD_MAGIC)
    if version != VERSION:
        raise Refused(reasons.UNSUPPORTED_VERSION, f"version {version}")
    if suite != suite_1.NUMBER:
        raise Refused(reasons.UNSUPPORTED_SUITE, f"suite {suite}")
    encapsulation_bytes = fields[19]
    if fields[0::2][: len(_MARKERS)] != _MARKERS or (
        encapsulation_bytes != suite_1.ENCAPSULATION_BYTES
    ):
        raise Refused(reasons.BAD_FRAME, "header")
    _check_tail(data)
    header = Header(version, suite, *fields[7:19:2])
    if not 1 <= header.sequence <= limits.SEQUENCE_MAX:
        raise Refused(reasons.BAD_FRAME, "sequence")
    return header


def _check_tail(data: bytes) -> None:
    marker, ciphertext_bytes = _CIPHERTEXT_MARKER.unpack_from(
        data, _CIPHERTEXT_AT - _CIPHERTEXT_MARKER.size
    )
    signature_at = _CIPHERTEXT_AT + ciphertext_bytes + len(_SIGNATURE_MARKER)
    end = signature_at + suite_1.SIGNATURE_BYTES
    if marker != b"\xc6" or ciphertext_bytes < _SEAL_BYTES or end > len(data):
        raise Refused(reasons.BAD_FRAME, "ciphertext")
    if data[signature_at - len(_SIGNATURE_MARKER) : signature_at] != _SIGNATURE_MARKER:
        raise Refused(reasons.BAD_FRAME, "signature")
    if end < len(data):
        raise Refused(reasons.TRAILING_BYTES, "file")


def verify_signature(data: bytes, key: PublicKey) -> bytes:
    """The digest of a file whose frame was read, if its signature is `key`'s.

    Raises Refused(BAD_SIGNATURE). It says nothing of trust: `Opener.verify` does.
    """
    signature_at = len(data) - suite_1.SIGNATURE_BYTES
    digest = suite_1.digest(memoryview(data)[:signature_at])
    if not suite_1.signature_holds(key.ed25519(), digest, data[signature_at:]):
        raise Refused(reasons.BAD_SIGNATURE)
    return digest


def _epoch_context(header: Header) -> bytes:
    return header.lane_id + header.sender_key_id + header.receiver_key_id + header.stream_id


class Sealer:
    """Seals contents into the ferry files of one stream. Not safe for use by two threads at once.

    One key encapsulation serves `_FILES_PER_EPOCH` files of this process; a restart begins a new
    epoch, so that no epoch secret is ever stored.
    """

    def __init__(
        self, signing_key: KeyFile, receiver: PublicKey, lane: str, stream_id: bytes
    ) -> None:
        if signing_key.kind is not KeyKind.SIGN or signing_key.public is None:
            raise Refused(reasons.BAD_KEY_FILE, f"{signing_key.name} is no sender's signing key")
        if receiver.kind is not KeyKind.RECEIVE:
            raise Refused(reasons.BAD_KEY_FILE, "the receiver's key is no receiving key")
        if len(stream_id) != STREAM_ID_BYTES:
            raise ValueError("a stream id has 16 bytes")
        self._key: Ed25519PrivateKey = signing_key.signing_key()
        self._receiver = suite_1.receive_public_key(receiver.raw)
        self._sender_key_id = signing_key.public.key_id
        self._receiver_key_id = receiver.key_id
        self._lane_id = lane_id(lane)
        self._stream_id = stream_id
        self._epoch_secret = b""
        self._encapsulation = b""
        self._files_left = 0

    def seal(self, sequence: int, previous_digest: bytes, content: Content) -> SealedFile:
        """One ferry file. Raises Refused(CONTENT_LIMIT or BAD_CONTENT) for an unlawful content."""
        header = Header(
            VERSION,
            suite_1.NUMBER,
            self._sender_key_id,
            self._receiver_key_id,
            self._lane_id,
            self._stream_id,
            sequence,
            previous_digest,
        )
        plaintext = envelope.encode(content)
        if not 1 <= sequence <= limits.SEQUENCE_MAX:
            raise ValueError("a sequence counts from 1")
        if len(previous_digest) != suite_1.DIGEST_BYTES:
            raise ValueError("a digest has 32 bytes")
        self._keep_epoch(header)
        front = _lay_out(header, self._encapsulation, len(plaintext) + _SEAL_BYTES)
        ciphertext = suite_1.encrypt(self._epoch_secret, header.place, front, plaintext)
        signed_part = front + ciphertext + _SIGNATURE_MARKER
        digest = suite_1.digest(signed_part)
        return SealedFile(signed_part + suite_1.sign(self._key, digest), digest)

    def _keep_epoch(self, header: Header) -> None:
        if self._files_left == 0:
            self._epoch_secret, self._encapsulation = suite_1.encapsulate(
                self._receiver, _epoch_context(header)
            )
            self._files_left = _FILES_PER_EPOCH
        self._files_left -= 1


def _lay_out(header: Header, encapsulation: bytes, ciphertext_bytes: int) -> bytes:
    values = (
        MAGIC,
        header.version,
        header.suite,
        header.sender_key_id,
        header.receiver_key_id,
        header.lane_id,
        header.stream_id,
        header.sequence,
        header.previous_digest,
        len(encapsulation),
    )
    fields = [part for pair in zip(_MARKERS, values, strict=True) for part in pair]
    return HEADER.pack(*fields) + encapsulation + _CIPHERTEXT_MARKER.pack(b"\xc6", ciphertext_bytes)


class Opener:
    """Verifies and unseals the files of one lane. Not safe for use by two threads at once."""

    def __init__(self, trust: TrustStore, receiver_keys: list[KeyFile], lane: str) -> None:
        self._trust = trust
        self._lane_id = lane_id(lane)
        self._receivers: dict[bytes, hpke.MLKEM768X25519PrivateKey] = {}
        for key in receiver_keys:
            if key.kind is not KeyKind.RECEIVE or key.private is None or key.public is None:
                raise Refused(reasons.BAD_KEY_FILE, f"{key.name} is no private receiving key")
            self._receivers[key.public.key_id] = suite_1.receive_private_key(key.private)[0]
        self._epochs: OrderedDict[bytes, bytes] = OrderedDict()

    def verify(self, data: bytes, now_ms: int) -> VerifiedFile:
        """Steps 1 to 15 of SPEC.md 4.3. `now_ms` is unix milliseconds. Raises Refused."""
        header = read_untrusted_header(data)
        sender = self._trust.find(header.sender_key_id)
        if sender is None:
            raise Refused(reasons.UNKNOWN_SENDER, f"key {header.sender_key_id.hex()[:32]}")
        _check_trust(sender, header.suite, now_ms)
        if header.lane_id != self._lane_id:
            raise Refused(reasons.WRONG_LANE)
        if header.receiver_key_id not in self._receivers:
            raise Refused(reasons.WRONG_RECEIVER, f"key {header.receiver_key_id.hex()[:32]}")
        return VerifiedFile(_PROOF, data, header, verify_signature(data, sender.key), sender)

    def unseal(self, file: VerifiedFile) -> Content:
        """Decrypt and decode, and hold each entry against the channels of the sender's key.

        Counts of other channels are left out of the beacon: they are nobody's business here, and
        their names, which the sender chooses freely, must not be kept.

        Raises Refused: UNSEAL_FAILED, the content's reasons, or CHANNEL_NOT_AUTHORISED.
        """
        content = self.read(file)
        for entry in content.entries:
            if entry.channel not in file.sender.channels:
                raise Refused(reasons.CHANNEL_NOT_AUTHORISED, f"channel {entry.channel}")
        counts = content.beacon.channel_counts
        known = tuple(count for count in counts if count[0] in file.sender.channels)
        return content if len(known) == len(counts) else replace(content, beacon=Beacon(known))

    def read(self, file: VerifiedFile) -> Content:
        """Decrypt and decode only: for who inspects a file, not for who takes it.

        Raises Refused: UNSEAL_FAILED or the content's reasons.
        """
        data, header = file.data, file.header
        front_end = _CIPHERTEXT_AT
        ciphertext_end = len(data) - suite_1.SIGNATURE_BYTES - len(_SIGNATURE_MARKER)
        secret = self._epoch_secret(file)
        plaintext = suite_1.decrypt(
            secret, header.place, data[:front_end], data[front_end:ciphertext_end]
        )
        if plaintext is None:
            raise Refused(reasons.UNSEAL_FAILED, "content")
        return envelope.decode(plaintext)

    def _epoch_secret(self, file: VerifiedFile) -> bytes:
        """Decapsulate, or remember: an epoch's files all carry the same encapsulation."""
        context = _epoch_context(file.header)
        encapsulation = file.data[_ENCAPSULATION_AT : _CIPHERTEXT_AT - _CIPHERTEXT_MARKER.size]
        memory_key = context + encapsulation
        secret = self._epochs.get(memory_key)
        if secret is None:
            receiver = self._receivers.get(file.header.receiver_key_id)
            if receiver is None:  # verified by another opener
                raise Refused(reasons.WRONG_RECEIVER)
            secret = suite_1.decapsulate(encapsulation, receiver, context)
            if secret is None:
                raise Refused(reasons.UNSEAL_FAILED, "key encapsulation")
            self._epochs[memory_key] = secret
            if len(self._epochs) > _EPOCHS_REMEMBERED:
                self._epochs.popitem(last=False)
        return secret


def _check_trust(sender: TrustedSender, suite: int, now_ms: int) -> None:
    if sender.revoked:
        raise Refused(reasons.KEY_REVOKED, f"sender {sender.name}")
    if sender.not_before_ms is not None and now_ms < sender.not_before_ms:
        raise Refused(reasons.KEY_NOT_VALID_NOW, f"sender {sender.name}: not yet")
    if sender.not_after_ms is not None and now_ms > sender.not_after_ms:
        raise Refused(reasons.KEY_NOT_VALID_NOW, f"sender {sender.name}: no longer")
    if suite not in sender.suites:
        raise Refused(reasons.SUITE_NOT_ALLOWED, f"sender {sender.name}, suite {suite}")
