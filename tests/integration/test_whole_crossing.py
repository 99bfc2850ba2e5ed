"""Both agents as processes in two network namespaces without any link; the corpora cross.

The inner sees the medium mounted read-only. Every valid HL7 message that a permissive channel
admits is sent over MLLP and over HTTP and looked for at the sink: once, in order, equal in meaning.
"""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

import pytest

from ferry_format.container import Opener
from ferry_format.envelope import Content, Envelope
from ferry_format.keys import KeyKind, TrustedSender, TrustStore
from ferry_runtime.secrets import read_key, read_public_key
from tests.integration.test_corpora_meaning import PERMISSIVE, meaning
from tests.simulator.background import Background
from tests.simulator.clients import HttpSender, MllpSender, code_of
from tests.simulator.corpora import samples
from tests.simulator.ferry_pair import LANE, Channel, FerryPair, free_port
from tests.simulator.http_receiver import HttpReceiver
from tests.simulator.namespaces import Namespace, why_impossible
from validators.hl7v2.validator import HL7v2Validator
from validators.verdict import Accepted

pytestmark = [pytest.mark.needs_root, pytest.mark.timeout(300)]

API_KEY = "an-api-key-that-must-not-cross"
MARKERS = {"User-Agent": "user-agent-that-must-not-cross", "X-Marker": "header-must-not-cross"}
CONTENT = """[channels.content.hl7v2]
messages = ["*"]
segments = "any"
header = "lax"
escapes = "any"
fields_max = 1000"""


@pytest.fixture(scope="module")
def messages() -> list[bytes]:
    """Every different valid message of the corpora that a permissive channel admits."""
    judge = HL7v2Validator(PERMISSIVE)
    valid = dict.fromkeys(each.read() for each in samples("hl7v2") if each.kind == "valid")
    return [data for data in valid if isinstance(judge.validate(data), Accepted)]


class Crossing:
    """A started pair in two namespaces, and an HTTP receiver inside."""

    def __init__(self, folder: Path, background: Background) -> None:
        self.outside = Namespace(f"ferry-test-out-{free_port()}")
        self.inside = Namespace(f"ferry-test-in-{free_port()}")
        self.outside.create()
        self.inside.create()
        self.receiver = HttpReceiver()
        self.inside.run(lambda: background.open(self.receiver.start))
        background.start()
        self.mllp_port, self.http_port = free_port(), free_port()
        sinks = "".join(
            f'[[sinks]]\nkind = "http"\nname = "{name}"\nurl = "{self.receiver.url}"\n'
            for name in ("his-1", "his-2")
        )
        self.pair = FerryPair(
            folder,
            [
                Channel("over-m", CONTENT, "his-1"),
                Channel("over-h", CONTENT, "his-2"),
            ],
            f'[[sources]]\nkind = "mllp"\nname = "source-one"\n'
            f'listen = "127.0.0.1:{self.mllp_port}"\nchannel = "over-m"\n'
            f'acknowledgement = "original"\n'
            f'[[sources]]\nkind = "http"\nname = "source-two"\n'
            f'listen = "127.0.0.1:{self.http_port}"',
            sinks,
            '[[senders]]\nname = "hospital-front"\nlisteners = ["source-one"]\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
            outer_namespace=self.outside,
            inner_namespace=self.inside,
        )
        self.pair.write()
        self.pair.start()

    def send_over_mllp(self, messages: list[bytes]) -> list[str]:
        def work() -> list[str]:
            sender = MllpSender(self.mllp_port)
            codes = [code_of(sender.send(message)) for message in messages]
            sender.close()
            return codes

        return self.pair.inside("outer", work)

    def send_over_http(self, messages: list[bytes]) -> list[int]:
        def work() -> list[int]:
            headers = {"Authorization": f"Bearer {API_KEY}", **MARKERS}
            sender = HttpSender(self.http_port, headers)
            statuses = [sender.send("over-h", message)[0] for message in messages]
            sender.close()
            return statuses

        return self.pair.inside("outer", work)

    def wait_for(self, number: int) -> None:
        deadline_s = time.monotonic() + 60
        while len(set(self.receiver.recording.taken_ids)) < number:
            self.pair.check_alive()
            assert time.monotonic() < deadline_s, self.pair.tail()
            time.sleep(0.05)

    def opened_files(self) -> list[Content]:
        keys = self.pair.keys
        public = read_public_key(keys / "front-1.pub", KeyKind.SIGN)
        trusted = TrustedSender("front-1", public, frozenset({1}), frozenset({"over-m", "over-h"}))
        receiving = read_key(keys / "inner-1.key", KeyKind.RECEIVE)
        opener = Opener(TrustStore([trusted]), [receiving], LANE)
        return [
            opener.unseal(opener.verify(path.read_bytes(), int(time.time() * 1000)))
            for path in sorted((self.pair.folder / "medium").glob("*/*/*.ferry"))
        ]

    def close(self) -> None:
        self.pair.stop()
        self.outside.delete()
        self.inside.delete()


@pytest.fixture
def crossing(tmp_path: Path):
    reason = why_impossible()
    if reason:
        pytest.skip(reason)
    with Background() as background:
        crossing = Crossing(tmp_path, background)
        yield crossing
        crossing.close()
        background.do(crossing.receiver.stop)


def links(namespace: Namespace) -> str:
    command = ["ip", "-n", namespace.name, "-brief", "link"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_the_corpora_cross_between_hosts_that_share_nothing_but_the_medium(
    crossing: Crossing, messages: list[bytes]
) -> None:
    assert len(messages) > 400
    for namespace in (crossing.outside, crossing.inside):
        assert [line.split()[0] for line in links(namespace).splitlines()] == ["lo"]

    assert set(crossing.send_over_mllp(messages)) == {"AA"}
    assert set(crossing.send_over_http(messages)) == {202}
    crossing.wait_for(2 * len(messages))

    received = crossing.receiver.recording.received
    assert len(received) == 2 * len(messages)
    assert crossing.receiver.recording.duplicates() == {}
    for channel in ("over-m", "over-h"):
        arrived = [each for each in received if each.headers["Ferry-Channel"] == channel]
        assert len(arrived) == len(messages)
        for sent, found in zip(messages, arrived, strict=True):
            assert meaning(found.data) == meaning(sent)

    nothing_of_the_transport_crossed(crossing, messages)
    the_inner_wrote_nothing(crossing)


def nothing_of_the_transport_crossed(crossing: Crossing, messages: list[bytes]) -> None:
    contents = crossing.opened_files()
    envelopes = [e for content in contents for e in content.entries if isinstance(e, Envelope)]
    assert len(envelopes) == 2 * len(messages)
    words = [API_KEY, *MARKERS.values(), "User-Agent", "source-one", "source-two", "hospital-front"]
    words += [f"127.0.0.1:{port}" for port in (crossing.mllp_port, crossing.http_port)]
    for envelope in envelopes:
        everything = repr(envelope).encode() + envelope.payload
        assert not [word for word in words if word.encode() in everything]
        assert not envelope.payload.startswith(b"\x0b")


def the_inner_wrote_nothing(crossing: Crossing) -> None:
    medium = crossing.pair.folder / "medium"
    names = {path.name for path in medium.rglob("*") if path.is_file()}
    assert all(name.endswith(".ferry") for name in names)
    probe = crossing.inside.command(["touch", str(medium / "probe")], read_only=medium)
    assert subprocess.run(probe, capture_output=True, check=False).returncode != 0
