"""Keys as files and tokens: what is read, what is refused, what is never shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ferry_format.keys import (
    SECRET_ONLY_KINDS,
    KeyKind,
    PublicKey,
    TrustedSender,
    TrustStore,
    generate,
    parse_key_file,
    parse_token,
    private_text,
    public_text,
)
from ferry_format.reasons import Refused

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_private_key_file_reads_back(kind: KeyKind) -> None:
    key = generate(kind, "front-1", NOW)
    assert parse_key_file(private_text(key), "file") == key


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind not in SECRET_ONLY_KINDS])
def test_a_public_key_file_and_a_token_name_the_same_key(kind: KeyKind) -> None:
    key = generate(kind, "front-1", NOW)
    assert key.public is not None
    read = parse_key_file(public_text(key), "file")
    assert (read.public, read.private) == (key.public, None)
    assert parse_token(key.public.token, kind, "policy") == key.public


def test_every_mistyped_character_of_a_token_is_noticed() -> None:
    public = generate(KeyKind.SIGN, "front-1", NOW).public
    assert public is not None
    start = public.token.index(":") + 1
    for at in range(start, len(public.token)):
        other = "A" if public.token[at] != "A" else "B"
        with pytest.raises(Refused, match="bad_key_file"):
            parse_token(public.token[:at] + other + public.token[at + 1 :], KeyKind.SIGN, "policy")


def test_a_key_of_one_kind_is_never_taken_for_another() -> None:
    audit = generate(KeyKind.AUDIT, "a", NOW).public
    assert audit is not None
    with pytest.raises(Refused):
        parse_token(audit.token, KeyKind.SIGN, "policy")
    with pytest.raises(Refused):
        TrustStore([TrustedSender("a", audit, frozenset({1}), frozenset())])
    same_bytes = {type(audit)(kind, audit.raw).key_id for kind in KeyKind}
    assert len(same_bytes) == len(KeyKind)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind = 1",
        'kind = "ferry-sign-1"\nname = "a"\ncreated = 2026-01-01T00:00:00Z\nprivate = "short"',
        'kind = "other"\nname = "a"\ncreated = 2026-01-01T00:00:00Z\nprivate = "AAAA"',
        'kind = "ferry-sign-1"\nname = "A B"\ncreated = 2026-01-01T00:00:00Z\nprivate = "AAAA"',
        'kind = "ferry-sign-1"\nname = "a"\ncreated = "today"\nprivate = "AAAA"',
        'kind = "ferry-sign-1"\nname = "a"\ncreated = 2026-01-01T00:00:00Z\nprivate = "AAAA"\nx=1',
    ],
)
def test_whatever_is_no_key_file_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="bad_key_file"):
        parse_key_file(text, "file")


def test_no_representation_and_no_error_shows_the_private_bytes() -> None:
    key = generate(KeyKind.SIGN, "front-1", NOW)
    assert key.private is not None
    secret = private_text(key).split('private = "')[1].split('"')[0]
    assert secret not in repr(key)
    with pytest.raises(Refused) as refusal:
        parse_key_file(private_text(key).replace('"\n', "\n"), "file")
    assert secret[:8] not in str(refusal.value)


def test_two_senders_cannot_have_one_key() -> None:
    public = generate(KeyKind.SIGN, "a", NOW).public
    assert public is not None
    twice = [TrustedSender(name, public, frozenset({1}), frozenset()) for name in "ab"]
    with pytest.raises(Refused, match="key stands twice"):
        TrustStore(twice)


# Points of order 1, 2, 4 and 8, under which signatures hold that nobody made (RFC 8032 leaves it to
# the application to refuse them); and three y that are not reduced.
NO_KEYS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("raw", NO_KEYS)
def test_a_key_under_which_anybody_can_sign_is_no_key(raw: str) -> None:
    for kind in (KeyKind.SIGN, KeyKind.SECURITY_ADMIN, KeyKind.AUDIT):
        with pytest.raises(Refused, match="bad_key_file"):
            parse_token(PublicKey(kind, bytes.fromhex(raw)).token, kind, "policy")


@pytest.mark.parametrize("share", [bytes(32), b"\1" + bytes(31)])
def test_a_receiving_key_whose_shared_secret_everybody_knows_is_no_key(share: bytes) -> None:
    public = generate(KeyKind.RECEIVE, "inner-1", NOW).public
    assert public is not None
    weak = PublicKey(KeyKind.RECEIVE, public.raw[:-32] + share)
    with pytest.raises(Refused, match="bad_key_file"):
        parse_token(weak.token, KeyKind.RECEIVE, "policy")


@pytest.mark.parametrize("size", [0, 31, 33, 1215, 1217])
def test_keys_of_another_length_are_no_keys(size: int) -> None:
    for kind in (KeyKind.SIGN, KeyKind.RECEIVE):
        with pytest.raises(Refused, match="bad_key_file"):
            parse_token(PublicKey(kind, b"\7" * size).token, kind, "policy")
