"""A second reader of ferry files, written from ferry_format/SPEC.md alone.

It shares no code with `ferry_format`: what both say alike, the specification says. Section numbers
are those of SPEC.md. Plain rather than fast, and without a cache of epoch secrets.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

HPKE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
TIME_MOST = 2**53 - 1
SEQUENCE_MOST = 2**63 - 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
CONTENT_TYPE = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]*(; charset=[A-Za-z0-9._-]+)?")
REASON = re.compile(r"[a-z][a-z0-9_]*")
# msgpack heads: how many bytes hold the value or length, and the least that needs so many.
INTEGERS = {0xCC: (1, 0x80), 0xCD: (2, 0x100), 0xCE: (4, 0x10000), 0xCF: (8, 1 << 32)}
BINARIES = {0xC4: (1, 0), 0xC5: (2, 0x100), 0xC6: (4, 0x10000)}
TEXTS = {0xD9: (1, 32), 0xDA: (2, 0x100), 0xDB: (4, 0x10000)}


class Refusal(Exception):
    """Refused at `stage` (frame, trust, signature, unseal, content, authority, stream)."""

    def __init__(self, stage: str, code: str) -> None:
        super().__init__(f"{stage}: {code}")
        self.stage = stage
        self.code = code


@dataclass(frozen=True)
class Sender:
    """What a receiver trusts one key for (chapter 3); open ends of the period are None."""

    public: bytes
    channels: Collection[str]
    suites: Collection[int] = (1,)
    first_ms: int | None = None
    last_ms: int | None = None
    revoked: bool = False


@dataclass(frozen=True)
class Receiver:
    """One receiver: its lane, private keys (96 bytes each) and trusted senders."""

    lane: str
    privates: Collection[bytes]
    senders: Collection[Sender]


@dataclass(frozen=True)
class Opened:
    """A verified, unsealed and decoded file; `content` in plain lists as in 6.1."""

    stream_id: bytes
    sequence: int
    previous: bytes
    digest: bytes
    content: list


def key_id(kind: bytes, public: bytes) -> bytes:
    return sha256(b"ferry-key-1\0" + kind + b"\0" + public).digest()


def _pair(private: bytes) -> tuple[hpke.MLKEM768X25519PrivateKey, bytes]:
    kem, share = (
        MLKEM768PrivateKey.from_seed_bytes(private[:64]),
        X25519PrivateKey.from_private_bytes(private[64:]),
    )
    public = kem.public_key().public_bytes_raw() + share.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(kem, share), key_id(b"ferry-receive-1", public)


# --- chapter 4 ------------------------------------------------------------------------------------


def _frame(data: bytes) -> None:
    """Steps 1 to 8 of 4.3."""

    def need(holds: object, code: str) -> None:
        if not holds:
            raise Refusal("frame", code)

    need(len(data) >= 1448, "file_too_short")
    need(len(data) <= 25_231_360, "file_too_large")
    need(data[3:11] == b"\x89FERRY\r\n", "bad_magic")
    need(data[12] == 1, "unsupported_version")
    need(data[14] == 1, "unsupported_suite")
    for at, marker in (
        (0, "9cc408"),
        (11, "cc"),
        (13, "cc"),
        (15, "c420"),
        (49, "c420"),
        (83, "c420"),
        (117, "c410"),
        (135, "cf"),
        (144, "c420"),
        (178, "c50490"),
        (1349, "c6"),
    ):
        expected = bytes.fromhex(marker)
        need(data[at : at + len(expected)] == expected, "bad_frame")
    size = int.from_bytes(data[1350:1354], "big")
    end = 1354 + size
    need(size >= 28 and end + 66 <= len(data), "bad_frame")
    need(data[end : end + 2] == b"\xc4\x40", "bad_frame")
    need(end + 66 == len(data), "trailing_bytes")
    need(1 <= int.from_bytes(data[136:144], "big") <= SEQUENCE_MOST, "bad_frame")


def _trusted(data: bytes, receiver: Receiver, now_ms: int) -> Sender:
    """Steps 9 to 15 of 4.3."""
    by_id = {key_id(b"ferry-sign-1", sender.public): sender for sender in receiver.senders}
    sender = by_id.get(data[17:49])
    if sender is None:
        raise Refusal("trust", "unknown_sender")
    if sender.revoked:
        raise Refusal("trust", "key_revoked")
    early = sender.first_ms is not None and now_ms < sender.first_ms
    if early or (sender.last_ms is not None and now_ms > sender.last_ms):
        raise Refusal("trust", "key_not_valid_now")
    if data[14] not in sender.suites:
        raise Refusal("trust", "suite_not_allowed")
    if data[85:117] != sha256(b"ferry-lane-1\0" + receiver.lane.encode()).digest():
        raise Refusal("trust", "wrong_lane")
    if data[51:83] not in {_pair(private)[1] for private in receiver.privates}:
        raise Refusal("trust", "wrong_receiver")
    signed = b"ferry-file-1\0" + sha256(data[:-64]).digest()
    try:
        Ed25519PublicKey.from_public_bytes(sender.public).verify(data[-64:], signed)
    except InvalidSignature:
        raise Refusal("signature", "bad_signature") from None
    return sender


# --- chapter 5 ------------------------------------------------------------------------------------


def _unsealed(data: bytes, receiver: Receiver) -> bytes:
    key = {identity: key for key, identity in map(_pair, receiver.privates)}[data[51:83]]
    info = b"ferry-epoch-1\0" + data[85:117] + data[17:49] + data[51:83] + data[119:135]
    try:
        secret = HPKE.decrypt(data[181:1349], key, info)
        file_info = b"ferry-file-key-1\0" + data[119:135] + data[136:144]
        file_key = HKDF(hashes.SHA256(), 32, None, file_info).derive(secret)
        return AESGCM(file_key).decrypt(data[1354:1366], data[1366:-66], data[:1354])
    except (InvalidTag, ValueError):
        raise Refusal("unseal", "unseal_failed") from None


# --- chapter 6 ------------------------------------------------------------------------------------


def _wrong(code: str = "bad_content") -> NoReturn:
    raise Refusal("content", code)


class _Decoder:
    """Strict msgpack for what 6.1 needs; `canonical` turns False at a spelling that is longer."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.canonical = True

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            _wrong()
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width: int, shortest: int) -> int:
        value = int.from_bytes(self.take(width), "big")
        self.canonical = self.canonical and value >= shortest
        return value

    def scalar_head(self) -> int:
        """The head of a scalar; a container or extension here is refused unbuilt (6.3)."""
        head = self.take(1)[0]
        if 0xDC <= head <= 0xDF:
            self.take(2 if head in {0xDC, 0xDE} else 4)
        elif 0xC7 <= head <= 0xC9:
            self.take(1 + int.from_bytes(self.take(1 << (head - 0xC7)), "big"))
        elif 0xD4 <= head <= 0xD8:
            self.take(1 + (1 << (head - 0xD4)))
        elif not 0x80 <= head <= 0x9F:
            return head
        _wrong("content_limit")

    def scalar(self) -> int | bytes | str:
        """Any integer, `bin` or `str`; step 2 of 6.3 holds whatever the place asks for."""
        head = self.scalar_head()
        if head < 0x80 or head >= 0xE0:
            return head if head < 0x80 else head - 0x100
        # A signed spelling of a value that is not negative is msgpack, though never the shortest.
        if 0xD0 <= head <= 0xD3:
            self.canonical = False
            return int.from_bytes(self.take(1 << (head - 0xD0)), "big", signed=True)
        if head in INTEGERS:
            return self.number(*INTEGERS[head])
        if head in BINARIES:
            value = self.take(self.number(*BINARIES[head]))
            return value if len(value) <= 1 << 24 else _wrong("content_limit")
        if 0xA0 <= head <= 0xBF:
            return self.text_of(head & 0x1F)
        return self.text_of(self.number(*TEXTS[head])) if head in TEXTS else _wrong()

    def text_of(self, length: int) -> str:
        value = self.take(length)
        if length > 100:
            _wrong("content_limit")
        try:
            return value.decode()
        except UnicodeDecodeError:
            _wrong()

    def integer(self) -> int:
        value = self.scalar()
        return value if isinstance(value, int) else _wrong()

    def binary(self) -> bytes:
        value = self.scalar()
        return value if isinstance(value, bytes) else _wrong()

    def text(self) -> str:
        value = self.scalar()
        return value if isinstance(value, str) else _wrong()

    def array(self, most: int) -> int:
        head = self.take(1)[0]
        if 0x90 <= head <= 0x9F:
            count = head & 0x0F
        elif head in {0xDC, 0xDD}:
            count = self.number(*((2, 16) if head == 0xDC else (4, 0x10000)))
        else:
            _wrong()
        return count if count <= most else _wrong("content_limit")

    def exactly(self, count: int) -> None:
        if self.array(count) != count:
            _wrong()

    def entry(self) -> list:
        count = self.array(10)
        kind = self.integer() if count >= 6 else _wrong()
        if (kind, count) not in {(0, 7), (1, 6), (2, 10)}:
            _wrong()
        common = [self.binary(), self.text(), self.integer(), self.integer(), self.text()]
        if kind == 2:
            common += [self.integer(), self.integer(), self.binary()]
        return [kind, *common] if kind == 1 else [kind, *common, self.binary()]


def _rule(holds: bool, code: str = "bad_content") -> None:  # noqa: FBT001
    if not holds:
        _wrong(code)


def _check_entry(entry: list) -> None:
    kind, message_id, channel, sequence, at_ms, text, *more = entry
    most, pattern = (64, REASON) if kind == 1 else (100, CONTENT_TYPE)
    _rule(len(message_id) == 16 and NAME.fullmatch(channel) is not None)
    _rule(1 <= sequence <= SEQUENCE_MOST and 0 <= at_ms <= TIME_MOST)
    _rule(len(text) <= most, "content_limit")
    _rule(pattern.fullmatch(text) is not None and more != [b""])
    if kind == 2:
        size, number, digest, payload = more
        _rule(size <= 2**42, "content_limit")
        count, rest = divmod(size, 4_194_304)
        count += rest > 0
        _rule(1 <= number <= count)
        is_last = number == count
        _rule(len(payload) == (size - (count - 1) * 4_194_304 if is_last else 4_194_304))
        _rule(len(digest) == (32 if is_last else 0))


def _check(sealed_at_ms: int, beacon: list, entries: list) -> None:
    """The rules of 6.2."""
    _rule(0 <= sealed_at_ms <= TIME_MOST)
    names = [name for name, _ in beacon]
    _rule(names == sorted(set(names)) and all(map(NAME.fullmatch, names)))
    _rule(all(1 <= count <= SEQUENCE_MOST for _, count in beacon))
    last: dict[str, int] = {}
    for entry in entries:
        _check_entry(entry)
        _, _, channel, sequence, *_ = entry
        _rule(last.get(channel, sequence - 1) == sequence - 1)
        last[channel] = sequence
    _rule(len({entry[1] for entry in entries}) == len(entries))
    _rule(last.items() <= dict(beacon).items())


def decode(plain: bytes) -> list:
    """The content as plain lists; raises Refusal."""
    if len(plain) > 25_165_824:
        _wrong("content_limit")
    read = _Decoder(plain)
    read.exactly(3)
    sealed_at_ms, beacon = read.integer(), []
    for _ in range(read.array(1024)):
        read.exactly(2)
        beacon.append([read.text(), read.integer()])
    entries = [read.entry() for _ in range(read.array(4096))]
    if read.at != len(plain):
        _wrong("trailing_bytes")
    _check(sealed_at_ms, beacon, entries)
    return [sealed_at_ms, beacon, entries] if read.canonical else _wrong("content_not_canonical")


def read_file(data: bytes, receiver: Receiver, now_ms: int) -> Opened:
    """All that chapters 4 to 6 ask; raises Refusal."""
    _frame(data)
    sender = _trusted(data, receiver, now_ms)
    content = decode(_unsealed(data, receiver))
    if any(entry[2] not in sender.channels for entry in content[2]):
        raise Refusal("authority", "channel_not_authorised")
    content[1] = [count for count in content[1] if count[0] in sender.channels]
    (sequence,) = struct.unpack(">Q", data[136:144])
    return Opened(data[119:135], sequence, data[146:178], sha256(data[:-64]).digest(), content)


# --- chapter 7 ------------------------------------------------------------------------------------


@dataclass
class Stream:
    """What was received of one stream: sequence -> (digest, previous digest)."""

    stream_id: bytes
    next: int = 1
    received: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)

    def decide(self, file: Opened) -> str:
        """`accept`, `late`, `wait` or `sequence_replayed`; raises Refusal."""
        sequence, known = file.sequence, self.received.get(file.sequence)
        if file.stream_id != self.stream_id:
            raise Refusal("stream", "unknown_stream")
        if sequence == SEQUENCE_MOST:
            raise Refusal("stream", "bad_frame")
        if sequence > self.next:
            return "wait"
        if known is not None:
            if known[0] == file.digest:
                return "sequence_replayed"
            raise Refusal("stream", "sequence_reused")
        before: Mapping[int, tuple[bytes, bytes]] = {0: (bytes(32), b""), **self.received}
        follows = before.get(sequence - 1, (file.previous, b""))[0] == file.previous
        leads = before.get(sequence + 1, (b"", file.digest))[1] == file.digest
        if not follows or not leads:
            raise Refusal("stream", "chain_broken")
        self.received[sequence] = (file.digest, file.previous)
        late = sequence < self.next
        self.next = max(self.next, sequence + 1)
        return "late" if late else "accept"

    def give_up_before(self, sequence: int) -> None:
        self.next = max(self.next, sequence)
