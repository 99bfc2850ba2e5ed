"""`ferry-inspect` on the published vectors: what it says, and what it never shows."""

from __future__ import annotations

import hashlib
import json

import pytest
from click.testing import CliRunner, Result

from ferry_format.envelope import Envelope
from ferry_format.inspect import command
from tests.simulator.lawful_contents import BATCH
from tests.simulator.vectors import FOLDER, Vector, all_vectors, key

SENDER = ["--sender-key", str(FOLDER / "sender.pub")]
LANE = ["--lane", "front-to-inside"]
RECEIVER = ["--receiver-key", str(FOLDER / "receiver.key")]
BEFORE_THE_POLICY = {None, "stream", "medium", "authority"}


def inspect(name: str, *options: str) -> Result:
    return CliRunner().invoke(command, [str(FOLDER / f"{name}.ferry"), *options])


def test_without_keys_it_reads_the_frame_and_says_that_nothing_was_verified() -> None:
    told = inspect("stream-1")
    assert told.exit_code == 3
    assert "Nothing was verified" in told.output
    assert "sequence: 1  (not verified)" in told.output


def test_with_the_senders_key_it_checks_the_signature() -> None:
    told = inspect("stream-2", *SENDER)
    assert told.exit_code == 0
    assert "Checked: frame, sender, signature." in told.output
    assert "(not verified)" not in told.output


def test_a_token_serves_as_well_as_a_file() -> None:
    public = key("sender.pub").public
    assert public is not None
    assert inspect("stream-2", "--sender-key", public.token, *LANE).exit_code == 0


def test_with_all_keys_it_lists_the_entries_and_shows_no_payload() -> None:
    told = inspect("stream-1", *SENDER, *LANE, *RECEIVER)
    assert told.exit_code == 0
    assert "3 messages, 0 tombstones" in told.output
    assert "highest number so far on adt: 2" in told.output
    assert "adt 2: " in told.output
    assert "accepted 2026-11-18T11:06:40.000000Z, application/hl7-v2, " in told.output
    assert hashlib.sha256(opened_payload()).hexdigest() in told.output
    assert "患者" not in told.output
    assert "PID" not in told.output


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stream-2", "a heartbeat"),
        ("tombstone", "(medium_unavailable)"),
        ("object-last-part", "part 2 of 2 (object of 4194312 bytes)"),
        ("object-of-one-part", "0 messages, 1 parts of objects, 0 tombstones"),
    ],
)
def test_what_is_no_message_is_told_as_such(name: str, words: str) -> None:
    assert words in inspect(name, *SENDER, *LANE, *RECEIVER).output


def opened_payload() -> bytes:
    first = BATCH.entries[0]
    assert isinstance(first, Envelope)
    return first.payload


def test_a_file_says_that_it_is_not_verified_in_json_too() -> None:
    table = json.loads(inspect("stream-1", "--json").output)
    assert (table["verified"], table["frame_verified"]) == (False, False)
    table = json.loads(inspect("content-nested", *SENDER, *LANE, *RECEIVER, "--json").output)
    assert (table["verified"], table["frame_verified"]) == (False, True)
    assert table["reason"] == "content_limit"
    assert table["action"]


def test_the_lane_alone_is_held_against_the_frame() -> None:
    assert inspect("stream-1", *LANE).exit_code == 3
    told = inspect("stream-1", "--lane", "another-lane")
    assert told.exit_code == 1
    assert "[wrong_lane]" in told.output


def test_json_holds_the_same() -> None:
    table = json.loads(inspect("stream-1", *SENDER, *LANE, *RECEIVER, "--json").output)
    assert table["verified"]
    assert table["beacon"] == {"adt": 2, "booking": 1}
    assert [entry["channel_sequence"] for entry in table["entries"]] == [1, 1, 2]
    assert "payload" not in table["entries"][0]


@pytest.mark.parametrize(
    "vector",
    [v for v in all_vectors() if v.row["file"] and v.stage != "trust"],
    ids=lambda vector: vector.name,
)
def test_each_refused_vector_is_refused_with_its_reason(vector: Vector) -> None:
    told = inspect(vector.name, *SENDER, *LANE, *RECEIVER)
    if vector.stage in BEFORE_THE_POLICY:
        assert told.exit_code == 0
    else:
        assert told.exit_code == 1
        assert f"[{vector.reason}]" in told.output
        assert "what to do:" in told.output


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unknown-sender", "unknown_sender"),
        ("wrong-lane", "wrong_lane"),
        ("wrong-receiver", "wrong_receiver"),
        ("lane-before-receiver", "wrong_lane"),
        ("receiver-before-signature", "wrong_receiver"),
    ],
)
def test_files_for_others_are_told_apart(name: str, reason: str) -> None:
    assert f"[{reason}]" in inspect(name, *SENDER, *LANE, *RECEIVER).output


def test_wrong_usage_is_told_without_a_traceback() -> None:
    both = [*SENDER, *LANE]
    for options in (
        RECEIVER,
        ["--sender-key", "/nowhere"],
        ["--sender-key", "ferry-sign-1:AAAA"],
        ["--sender-key", str(FOLDER / "receiver.pub")],
        [*both, "--receiver-key", str(FOLDER / "receiver.pub")],
        [*both, "--receiver-key", str(FOLDER / "sender.key")],
    ):
        told = inspect("stream-1", *options)
        assert told.exit_code == 2
        assert "Traceback" not in told.output
