"""A ferry file with anything changed: refused, with a reason, before any parser saw a byte."""

from __future__ import annotations

import resource
import time
import tracemalloc
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import msgpack
import pytest

from ferry_format import container, envelope
from ferry_format.container import GENESIS_DIGEST, Opener, Sealer
from ferry_format.envelope import Beacon, Content, Envelope
from ferry_format.identifiers import lane_id
from ferry_format.keys import KeyKind, TrustedSender, TrustStore, generate
from ferry_format.reasons import Refused
from ferry_format.stream import Link, StreamState, advance, judge
from ferry_format.suites import ed25519_hybrid as suite
from tests.simulator.frames import LANE, SEAL_BYTES, Parts
from tests.simulator.vectors import site

NOW_MS = 1_795_000_000_000
MADE = datetime(2026, 11, 23, tzinfo=UTC)
SIGN, OTHER_SIGN = (generate(KeyKind.SIGN, name, MADE) for name in ("front-1", "front-2"))
RECEIVE, OTHER_RECEIVE = (generate(KeyKind.RECEIVE, name, MADE) for name in ("in-1", "in-2"))
STREAM, OTHER_STREAM = bytes(range(16)), bytes(range(1, 17))


def content(number: int = 1) -> Content:
    entry = Envelope(number.to_bytes(16, "big"), "adt", number, NOW_MS, "text/plain", b"payload")
    return Content(NOW_MS, (entry,), Beacon((("adt", number),)))


def seal(sequence: int = 1, previous: bytes = GENESIS_DIGEST, **changes) -> container.SealedFile:
    said = {"signing_key": SIGN, "receiver": RECEIVE.public, "lane": "lane", "stream_id": STREAM}
    return Sealer(**{**said, **changes}).seal(sequence, previous, content(sequence))


# Sealed here, since the watched tests leave nothing to seal with.
FILE = seal()
ELSEWHERE = seal(2, stream_id=OTHER_STREAM)


def opener(lane: str = "lane", **changes) -> Opener:
    said = {"suites": frozenset({1}), "channels": frozenset({"adt"})}
    senders = [
        TrustedSender(key.name, key.public, **{**said, **changes}) for key in (SIGN, OTHER_SIGN)
    ]
    return Opener(TrustStore(senders), [RECEIVE], lane)


def refusal(work) -> str:
    with pytest.raises(Refused) as caught:
        work()
    return caught.value.reason.code


@pytest.fixture
def parsers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything behind the signature, watched: what was called is in the list."""
    called: list[str] = []

    def watched(name: str):
        def call(*_: object, **__: object) -> None:
            called.append(name)
            raise AssertionError(f"{name} saw bytes that nobody signed")

        return call

    monkeypatch.setattr(envelope, "decode", watched("envelope.decode"))
    monkeypatch.setattr(msgpack, "Unpacker", watched("msgpack.Unpacker"))
    monkeypatch.setattr(msgpack, "unpackb", watched("msgpack.unpackb"))
    for name in ("decrypt", "decapsulate", "AESGCM", "HKDF"):
        monkeypatch.setattr(suite, name, watched(name))
    return called


def test_the_watch_sees_each_step_behind_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """What proves that the empty lists below mean something."""
    data, reader, called = seal().data, opener(), []

    def also(module: object, name: str) -> None:
        true = getattr(module, name)

        def call(*said, **named):
            called.append(name)
            return true(*said, **named)

        monkeypatch.setattr(module, name, call)

    for module, name in (
        (envelope, "decode"),
        (msgpack, "Unpacker"),
        (suite, "decrypt"),
        (suite, "decapsulate"),
        (suite, "AESGCM"),
        (suite, "HKDF"),
    ):
        also(module, name)
    verified = reader.verify(data, NOW_MS)
    assert called == []
    reader.unseal(verified)
    assert called == ["decapsulate", "decrypt", "HKDF", "AESGCM", "decode", "Unpacker"]


def test_every_bit_flipped_is_refused_before_any_parser(parsers: list[str]) -> None:
    data = FILE.data
    reader = opener()
    reader.verify(data, NOW_MS)
    codes: Counter[str] = Counter()
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes((data[at] ^ (1 << bit),)) + data[at + 1 :]
            codes[refusal(lambda flipped=flipped: reader.verify(flipped, NOW_MS))] += 1
    assert sum(codes.values()) == 8 * len(data)
    assert parsers == []
    assert {"bad_signature", "bad_frame", "bad_magic", "unknown_sender", "wrong_lane"} <= set(codes)


def test_every_truncation_and_every_appended_byte_is_refused(parsers: list[str]) -> None:
    data = FILE.data
    reader = opener()
    for size in range(len(data)):
        code = refusal(lambda size=size: reader.verify(data[:size], NOW_MS))
        assert code == ("file_too_short" if size < container.FRAME_BYTES else "bad_frame")
    for extra in (b"\0", b"\n", data):
        longer = data + extra
        assert refusal(lambda longer=longer: reader.verify(longer, NOW_MS)) == "trailing_bytes"
    assert parsers == []


def test_no_field_of_the_frame_can_be_taken_from_another_lawful_file(parsers: list[str]) -> None:
    first, second = FILE.data, ELSEWHERE.data
    edges = [0, 3, 11, 12, 14, 17, 49, 83, 117, 135, 144, 178, 181, 1349, 1354, len(first) - 66]
    for start, end in zip(edges, [*edges[1:], len(first)], strict=True):
        mixed = first[:start] + second[start:end] + first[end:]
        if mixed != first:
            refusal(lambda mixed=mixed: opener().verify(mixed, NOW_MS))
    assert parsers == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lane": "another"}, "wrong_lane"),
        ({"receiver": OTHER_RECEIVE.public}, "wrong_receiver"),
        ({"signing_key": generate(KeyKind.SIGN, "stranger", MADE)}, "unknown_sender"),
    ],
)
def test_files_of_other_lanes_receivers_and_strangers_are_refused(changes, code: str) -> None:
    assert refusal(lambda: opener().verify(seal(**changes).data, NOW_MS)) == code


@pytest.mark.parametrize(
    ("trust", "code"),
    [
        ({"revoked": True}, "key_revoked"),
        ({"not_after_ms": NOW_MS - 1}, "key_not_valid_now"),
        ({"not_before_ms": NOW_MS + 1}, "key_not_valid_now"),
        ({"suites": frozenset({2})}, "suite_not_allowed"),
    ],
)
def test_revoked_expired_and_downgraded_keys_are_refused(trust, code: str) -> None:
    assert refusal(lambda: opener(**trust).verify(seal().data, NOW_MS)) == code


@pytest.mark.parametrize("number", [0, 2, 3, 255])
def test_no_other_suite_can_be_named(number: int) -> None:
    data = bytearray(seal().data)
    data[14] = number
    assert refusal(lambda: opener().verify(bytes(data), NOW_MS)) == "unsupported_suite"


def test_a_file_of_one_trusted_sender_cannot_be_passed_off_as_anothers() -> None:
    data = bytearray(seal().data)
    assert OTHER_SIGN.public is not None
    data[17:49] = OTHER_SIGN.public.key_id
    assert refusal(lambda: opener().verify(bytes(data), NOW_MS)) == "bad_signature"


def test_a_ciphertext_signed_under_another_place_does_not_open() -> None:
    """Even the holder of the signing key cannot move sealed content it cannot read."""
    first = seal(1).data
    moved = bytearray(seal(2).data[: -suite.SIGNATURE_BYTES])
    moved[181 : len(moved) - 2] = first[181 : len(first) - 66]
    signed = bytes(moved) + suite.sign(SIGN.signing_key(), suite.digest(bytes(moved)))
    reader = opener()
    verified = reader.verify(signed, NOW_MS)
    assert refusal(lambda: reader.unseal(verified)) == "unseal_failed"


def test_sealed_content_cannot_be_moved_by_whoever_holds_the_signing_key() -> None:
    """Each name that the frame gives is bound into the seal: another name, and it does not open."""
    published = site()
    parts = published.parts(envelope.encode(content()))
    trusted = TrustedSender("s", published.public("sender"), frozenset({1}), frozenset({"adt"}))
    receivers = [published.keys["receiver"], published.keys["other-receiver"]]
    changes = {
        "lane": ("another-lane", {"lane": lane_id("another-lane")}),
        "receiver": (LANE, {"receiver": published.public("other-receiver").key_id}),
        "stream": (LANE, {"stream": OTHER_STREAM}),
        "sequence": (LANE, {"sequence": 2}),
        "previous": (LANE, {"previous": b"\1" * 32}),
    }
    for lane, changed in changes.values():
        reader = Opener(TrustStore([trusted]), receivers, lane)
        moved = replace(parts, **changed).signed(published.keys["sender"])
        verified = reader.verify(moved, NOW_MS)
        assert refusal(lambda: reader.unseal(verified)) == "unseal_failed"  # noqa: B023
    reader = Opener(TrustStore([trusted]), receivers, LANE)
    untouched = reader.verify(parts.signed(published.keys["sender"]), NOW_MS)
    assert reader.unseal(untouched) == content()


def test_an_epoch_remembered_for_one_stream_never_serves_another() -> None:
    """Whoever knows an epoch's secret cannot use it elsewhere, though the reader remembers it."""
    assert RECEIVE.public is not None
    assert SIGN.public is not None
    keys = (SIGN.public.key_id, RECEIVE.public.key_id, lane_id("lane"))
    context = keys[2] + keys[0] + keys[1] + STREAM
    receiving = suite.receive_public_key(RECEIVE.public.raw)
    secret, encapsulation = suite.encapsulate(receiving, context)
    plaintext = envelope.encode(content())

    def with_that_epoch(stream: bytes) -> bytes:
        said = (*keys, stream, 1, encapsulation)
        size = len(plaintext) + SEAL_BYTES
        place = stream + (1).to_bytes(8, "big")
        sealed = suite.encrypt(secret, place, Parts(*said, b"", size).front(), plaintext)
        return Parts(*said, sealed, size).signed(SIGN)

    reader = opener()
    assert reader.unseal(reader.verify(with_that_epoch(STREAM), NOW_MS)) == content()
    elsewhere = reader.verify(with_that_epoch(OTHER_STREAM), NOW_MS)
    assert refusal(lambda: reader.unseal(elsewhere)) == "unseal_failed"


def test_replayed_reordered_and_respliced_files_are_told_apart() -> None:
    first = seal(1)
    second = seal(2, first.digest)
    links = {1: Link(first.digest, GENESIS_DIGEST)}
    state = advance(StreamState(STREAM), first.digest)
    forged = seal(2, b"\1" * 32)
    reused = seal(1)

    def place(sequence: int, file: container.SealedFile, previous: bytes):
        return judge(state, sequence, Link(file.digest, previous), links.get)

    assert type(place(1, first, GENESIS_DIGEST)).__name__ == "Repeated"
    assert type(place(3, seal(3), second.digest)).__name__ == "Ahead"
    assert refusal(lambda: place(2, forged, b"\1" * 32)) == "chain_broken"
    assert refusal(lambda: place(1, reused, GENESIS_DIGEST)) == "sequence_reused"
    assert type(place(2, second, first.digest)).__name__ == "Next"


def tree(width: int, depth: int) -> bytes:
    return bytes((0x90 + width,)) + tree(width, depth - 1) * width if depth else b"\x90"


def bombs() -> dict[str, bytes]:
    deep = 20_000_000
    return {
        "nested arrays": b"\x93" + b"\x91" * deep + b"\x01",
        "tree of arrays": b"\x93" + tree(5, 9) + b"\x90\x90",
        "empty arrays": b"\x93\x01\x90\xdd" + (4097).to_bytes(4, "big") + b"\x90" * deep,
        "many channels": b"\x93\x01\xdd" + (2**32 - 1).to_bytes(4, "big") + b"\x92\xa1a\x01" * 1000,
        "arrays in an entry": b"\x93\x01\x90\x91\x97\x00" + b"\x9f" * deep,
        "map": b"\x93\x01\x90\x91\x97\x00\xdf" + (2**32 - 1).to_bytes(4, "big") + b"\x01" * deep,
        "extension": b"\x93\xc9" + (2**32 - 1).to_bytes(4, "big") + b"\x01" * deep,
        "text": b"\x93\x01\x91\x92\xdb" + deep.to_bytes(4, "big") + b"a" * deep,
    }


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_signed_by_a_trusted_key_costs_little(name: str) -> None:
    """Time, and memory beyond the plaintext and what msgpack copies of it."""
    plaintext = bombs()[name]
    tracemalloc.start()
    started_s = time.perf_counter()
    code = refusal(lambda: envelope.decode(plaintext))
    took_s = time.perf_counter() - started_s
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert code in {"content_limit", "bad_content"}
    assert took_s < 2
    assert peak_bytes < 3 * len(plaintext) + 8 * 2**20


def test_a_bomb_inside_a_whole_file_does_not_grow_the_process() -> None:
    published = site()
    data = published.sealed(b"\x93\x01\x90\xdd\xff\xff\xff\xff" + b"\x90" * 4_000_000)
    trusted = TrustedSender("s", published.public("sender"), frozenset({1}), frozenset({"adt"}))
    reader = Opener(TrustStore([trusted]), [published.keys["receiver"]], "front-to-inside")
    verified = reader.verify(data, NOW_MS)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(lambda: reader.unseal(verified)) == "content_limit"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 64 * 1024


def test_a_verified_file_can_come_out_of_verification_alone() -> None:
    with pytest.raises(TypeError, match="verification alone"):
        container.VerifiedFile(object(), b"", None, b"", None)
