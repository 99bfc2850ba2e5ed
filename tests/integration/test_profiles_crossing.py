"""Every profile as a channel of a real pair: its samples cross, the others are refused."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.background import Background
from tests.simulator.clients import HttpSender
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.http_receiver import HttpReceiver
from validators.profiles import Profile, load, names
from validators.verdict import Accepted

pytestmark = pytest.mark.timeout(180)
API_KEY = "an-api-key-of-this-test"
PROFILES = [load(name) for name in names()]


def channel(profile: Profile) -> Channel:
    """The profile's own lines, each side's; a scanner is another test's."""
    outer = profile.outer_channel(profile.name, ["hospital-front"])
    inner = profile.inner_channel(profile.name, "his")
    for_outer, for_inner = (
        text.replace("virus_scan = true", "").partition(f"{far_end}\n")[2]
        for text, far_end in ((outer, 'senders = ["hospital-front"]'), (inner, 'sink = "his"'))
    )
    return Channel(profile.name, "", "his", outer_options=for_outer, inner_options=for_inner)


@pytest.fixture
def crossing(tmp_path: Path) -> Iterator[tuple[FerryPair, HttpSender, HttpReceiver]]:
    receiver, port = HttpReceiver(), free_port()
    with Background() as background:
        background.open(receiver.start)
        background.start()
        pair = FerryPair(
            tmp_path,
            [channel(profile) for profile in PROFILES],
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{port}"',
            f'[[sinks]]\nkind = "http"\nname = "his"\nurl = "{receiver.url}"',
            '[[senders]]\nname = "hospital-front"\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
        )
        pair.write()
        for profile in PROFILES:
            for schema, data in profile.schemas.items():
                (tmp_path / schema).write_bytes(data)
        pair.start()
        sender = HttpSender(port, {"Authorization": f"Bearer {API_KEY}"})
        yield pair, sender, receiver
        sender.close()
        pair.stop()
        background.do(receiver.stop)


def rebuilt(profile: Profile, payload: bytes) -> bytes:
    verdict = profile.judge(payload)
    assert isinstance(verdict, Accepted)
    return verdict.payload


def test_what_a_profile_accepts_crosses_and_what_it_refuses_does_not(
    crossing: tuple[FerryPair, HttpSender, HttpReceiver],
) -> None:
    pair, sender, receiver = crossing
    expected = set()
    for profile in PROFILES:
        headers = {"Content-Type": profile.validator().content_type}
        for refusal in profile.refused:
            status, answer = sender.send(profile.name, refusal.payload, **headers)
            assert status // 100 == 4
            assert json.loads(answer)["reason"] == refusal.reason, refusal.file
        for file, payload in profile.accepted.items():
            status, answer = sender.send(profile.name, payload, **headers)
            assert status == 202, (profile.name, file, answer)
            expected.add(rebuilt(profile, payload))
    deadline_s = time.monotonic() + 60
    while len(receiver.recording.taken_ids) < len(expected):
        pair.check_alive()
        assert time.monotonic() < deadline_s, pair.tail()
        time.sleep(0.05)
    assert {one.data for one in receiver.recording.received} == expected
