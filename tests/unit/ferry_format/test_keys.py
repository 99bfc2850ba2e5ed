"""Keys as files and tokens: what is read, what is refused, what is never shown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ferry_format.identifiers import is_name, lane_id, new_message_id
from ferry_format.keys import (
    KeyKind,
    TrustedSender,
    TrustStore,
    generate,
    parse_key_file,
    parse_token,
    private_text,
    public_text,
)
from ferry_format.reasons import BY_CODE, Refused

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize("kind", list(KeyKind))
def test_a_private_key_file_reads_back(kind: KeyKind) -> None:
    key = generate(kind, "front-1", NOW)
    assert parse_key_file(private_text(key), "file") == key


@pytest.mark.parametrize("kind", [kind for kind in KeyKind if kind is not KeyKind.JOURNAL])
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


@pytest.mark.parametrize("name", ["adt", "a", "0", "a.b-c_d", "x" * 64])
def test_lawful_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "A", "-a", ".", "..", "a/b", "a b", "x" * 65, "患者", "a\n"])
def test_unlawful_names(name: str) -> None:
    assert not is_name(name)


def test_message_ids_are_uuids_of_version_7_that_sort_by_time() -> None:
    earlier, later = new_message_id(1_000), new_message_id(2_000)
    assert earlier < later
    assert earlier[6] >> 4 == 7
    assert earlier[8] >> 6 == 2
    assert len({new_message_id(5) for _ in range(1000)}) == 1000


def test_lanes_have_ids_of_their_own() -> None:
    assert lane_id("a") != lane_id("b")


def test_every_reason_says_what_it_means_and_what_to_do() -> None:
    for code, reason in BY_CODE.items():
        assert is_name(code)
        assert reason.meaning[0].islower() or reason.meaning[0].isupper()
        assert not reason.meaning.endswith(".")
        assert reason.action.endswith(".")
