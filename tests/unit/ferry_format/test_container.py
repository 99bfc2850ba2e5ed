"""The frame: where each field stands, what sealing refuses, and what only verification can make."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import msgpack
import pytest

from ferry_format import container, limits
from ferry_format.container import (
    FRAME_BYTES,
    GENESIS_DIGEST,
    MAGIC,
    Opener,
    Sealer,
    VerifiedFile,
    read_untrusted_header,
)
from ferry_format.envelope import Beacon, Content, Envelope, encode
from ferry_format.identifiers import lane_id
from ferry_format.keys import KeyFile, KeyKind, TrustedSender, TrustStore, generate
from ferry_format.limits import FILE_BYTES_MAX, SEQUENCE_MAX
from ferry_format.reasons import Refused
from ferry_format.suites import ed25519_hybrid as suite

NOW_MS = 1_795_000_000_000
MADE = datetime(2026, 11, 23, tzinfo=UTC)
SIGN, RECEIVE, NEW_RECEIVE = (
    generate(kind, "k", MADE) for kind in (KeyKind.SIGN, KeyKind.RECEIVE, KeyKind.RECEIVE)
)
STREAM = bytes(range(16))
HEARTBEAT = Content(NOW_MS, (), Beacon(()))
PREVIOUS = bytes(range(32))


def sealer(receiver: KeyFile = RECEIVE) -> Sealer:
    assert receiver.public is not None
    return Sealer(SIGN, receiver.public, "lane", STREAM)


def opener(*receivers: KeyFile) -> Opener:
    assert SIGN.public is not None
    trusted = TrustedSender("front-1", SIGN.public, frozenset({1}), frozenset({"adt"}))
    return Opener(TrustStore([trusted]), list(receivers or (RECEIVE,)), "lane")


def test_each_field_stands_at_the_offset_of_the_specification() -> None:
    data = sealer().seal(7, PREVIOUS, HEARTBEAT).data
    assert SIGN.public is not None
    assert RECEIVE.public is not None
    assert data[3:11] == MAGIC
    assert (data[12], data[14]) == (1, 1)
    assert data[17:49] == SIGN.public.key_id
    assert data[51:83] == RECEIVE.public.key_id
    assert data[85:117] == lane_id("lane")
    assert data[119:135] == STREAM
    assert int.from_bytes(data[136:144], "big") == 7
    assert data[146:178] == PREVIOUS
    assert int.from_bytes(data[179:181], "big") == 1168
    assert int.from_bytes(data[1350:1354], "big") == len(data) - 1354 - 66
    assert read_untrusted_header(data).previous_digest == PREVIOUS


def test_the_frame_without_any_plaintext_has_1448_bytes() -> None:
    assert FRAME_BYTES == 1448


def test_any_msgpack_tool_opens_a_file_as_an_array_of_twelve() -> None:
    data = sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data
    fields = msgpack.unpackb(data)
    assert len(fields) == 12
    assert fields[:3] == [MAGIC, 1, 1]
    assert fields[7] == 1
    assert len(fields[11]) == 64


def test_the_digest_is_of_all_bytes_before_the_signature() -> None:
    sealed = sealer().seal(1, GENESIS_DIGEST, HEARTBEAT)
    assert sealed.digest == suite.digest(sealed.data[:-64])
    assert opener().verify(sealed.data, NOW_MS).digest == sealed.digest


def test_files_of_one_epoch_carry_one_encapsulation_and_no_two_ciphertexts_are_alike() -> None:
    sealing = sealer()
    first, again = (sealing.seal(1, GENESIS_DIGEST, HEARTBEAT).data for _ in range(2))
    assert first[181:1349] == again[181:1349]
    assert first[1354:-66] != again[1354:-66]
    assert sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data[181:1349] != first[181:1349]


def test_an_epoch_ends_and_files_before_and_after_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_FILES_PER_EPOCH", 2)
    sealing, reader = sealer(), opener()
    files = [sealing.seal(n, GENESIS_DIGEST, HEARTBEAT).data for n in range(1, 6)]
    assert len({data[181:1349] for data in files}) == 3
    for data in reversed(files):
        assert reader.unseal(reader.verify(data, NOW_MS)) == HEARTBEAT


def test_an_encapsulation_is_opened_once_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[bytes] = []
    true = suite.decapsulate

    def counting(encapsulation: bytes, *rest):
        opened.append(encapsulation)
        return true(encapsulation, *rest)

    monkeypatch.setattr(suite, "decapsulate", counting)
    sealing, reader = sealer(), opener()
    for n in range(1, 4):
        reader.unseal(reader.verify(sealing.seal(n, GENESIS_DIGEST, HEARTBEAT).data, NOW_MS))
    assert len(opened) == 1


def test_what_is_remembered_of_epochs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_EPOCHS_REMEMBERED", 3)
    reader = opener()
    for _ in range(5):
        data = sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data
        reader.unseal(reader.verify(data, NOW_MS))
    assert len(reader._epochs) == 3


def test_old_and_new_receiving_keys_serve_side_by_side() -> None:
    reader = opener(RECEIVE, NEW_RECEIVE)
    for key in (RECEIVE, NEW_RECEIVE):
        data = sealer(key).seal(1, GENESIS_DIGEST, HEARTBEAT).data
        assert reader.unseal(reader.verify(data, NOW_MS)) == HEARTBEAT


def two_payloads(second_bytes: int) -> Content:
    sizes = {1: limits.CONTENT_BYTES_MAX // 2, 2: second_bytes}
    entries = tuple(
        Envelope(n.to_bytes(16, "big"), "adt", n, NOW_MS, "text/plain", b"p" * size)
        for n, size in sizes.items()
    )
    return Content(NOW_MS, entries, Beacon((("adt", 2),)))


def test_the_largest_content_fits_a_lawful_file() -> None:
    half = limits.CONTENT_BYTES_MAX // 2
    overhead = len(encode(two_payloads(half - 1000))) - (2 * half - 1000)
    largest = two_payloads(half - overhead)
    data = sealer().seal(1, GENESIS_DIGEST, largest).data
    assert len(data) == FRAME_BYTES + limits.CONTENT_BYTES_MAX <= FILE_BYTES_MAX
    reader = opener()
    assert reader.unseal(reader.verify(data, NOW_MS)) == largest
    with pytest.raises(Refused, match="content_limit"):
        sealer().seal(1, GENESIS_DIGEST, two_payloads(half - overhead + 1))


@pytest.mark.parametrize("sequence", [0, -1, SEQUENCE_MAX + 1])
def test_no_sequence_outside_its_limits_is_sealed(sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        sealer().seal(sequence, GENESIS_DIGEST, HEARTBEAT)


def test_nothing_but_a_digest_is_sealed_as_one() -> None:
    with pytest.raises(ValueError, match="digest"):
        sealer().seal(1, b"short", HEARTBEAT)


def test_a_verified_file_comes_out_of_verification_alone_and_stays_as_it_is() -> None:
    verified = opener().verify(sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data, NOW_MS)
    with pytest.raises(TypeError):
        VerifiedFile(object(), verified.data, verified.header, verified.digest, verified.sender)
    with pytest.raises(TypeError):
        dataclasses.replace(verified, data=b"", proof=None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verified.data = b""  # type: ignore[misc]


def test_keys_of_the_wrong_kind_are_refused_at_the_start() -> None:
    assert SIGN.public is not None
    assert RECEIVE.public is not None
    audit = generate(KeyKind.AUDIT, "a", MADE)
    for signing, receiver in ((audit, RECEIVE.public), (SIGN, SIGN.public)):
        with pytest.raises(Refused, match="bad_key_file"):
            Sealer(signing, receiver, "lane", STREAM)
    with pytest.raises(ValueError, match="16 bytes"):
        Sealer(SIGN, RECEIVE.public, "lane", b"short")
    public_only = dataclasses.replace(RECEIVE, private=None)
    for key in (SIGN, public_only):
        with pytest.raises(Refused, match="bad_key_file"):
            opener(key)


def test_a_file_that_another_opener_verified_is_refused_by_one_without_its_key() -> None:
    verified = opener().verify(sealer().seal(1, GENESIS_DIGEST, HEARTBEAT).data, NOW_MS)
    with pytest.raises(Refused, match="wrong_receiver"):
        opener(NEW_RECEIVE).unseal(verified)
