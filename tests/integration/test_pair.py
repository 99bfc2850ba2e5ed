"""Both agents as real processes: real clients, repetitions, restarts, gaps, operators' commands."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.messages import adt

pytestmark = pytest.mark.timeout(180)
ROOT = Path(__file__).parents[2]
API_KEY = "the-key-of-the-front"
SCHEMA = b'{"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}'
HL7 = """[channels.content.hl7v2]
messages = ["ADT^A01"]
segments = ["MSH", "EVN", "PID"]"""


class Pair:
    """ADT over MLLP into one folder, appointments over HTTP into another."""

    def __init__(self, folder: Path, *, heartbeat_s: float = 1.0, starts: bool = True) -> None:
        self.mllp_port, self.http_port = free_port(), free_port()
        self.folders = {name: folder / name for name in ("adt", "booking")}
        for path in self.folders.values():
            path.mkdir()
        (folder / "schema.json").write_bytes(SCHEMA)
        digest = hashlib.sha256(SCHEMA).hexdigest()
        json_content = (
            f'[channels.content.json]\nschema_file = "schema.json"\nschema_sha256 = "{digest}"'
        )
        sinks = "".join(
            f'[[sinks]]\nkind = "folder"\nname = "{name}"\npath = "{path}"\n'
            for name, path in self.folders.items()
        )
        self.agents = FerryPair(
            folder,
            [Channel("adt", HL7, "adt"), Channel("booking", json_content, "booking")],
            f'[[sources]]\nkind = "mllp"\nname = "adt-in"\n'
            f'listen = "127.0.0.1:{self.mllp_port}"\nchannel = "adt"\n'
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{self.http_port}"',
            sinks,
            '[[senders]]\nname = "hospital-front"\nlisteners = ["adt-in"]\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
            heartbeat_s=heartbeat_s,
        )
        self.agents.write()
        if starts:
            self.agents.start()

    def delivered(self, name: str = "adt") -> list[bytes]:
        """What stands in a sink's folder, in channel order."""
        files = sorted(path for path in self.folders[name].iterdir() if path.name[0] != ".")
        return [path.read_bytes() for path in files]

    def wait_for(self, number: int, name: str = "adt", timeout_s: float = 30) -> list[bytes]:
        deadline_s = time.monotonic() + timeout_s
        while len(self.delivered(name)) < number:
            assert time.monotonic() < deadline_s, self.agents.tail()
            time.sleep(0.02)
        return self.delivered(name)

    def send(self, *messages: bytes) -> list[str]:
        sender = MllpSender(self.mllp_port)
        try:
            return [code_of(sender.send(message)) for message in messages]
        finally:
            sender.close()

    def command(self, agent: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        config = self.agents.folder / f"{agent.removesuffix('_agent')}.toml"
        command = [sys.executable, "-m", agent, *arguments, "--config", str(config)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    yield pair
    for name in list(pair.agents.processes):
        pair.agents.kill(name)


def test_python_hl7s_own_sender_is_answered_and_its_message_arrives(
    pair: Pair, tmp_path: Path
) -> None:
    (tmp_path / "message.hl7").write_bytes(adt("REAL1"))
    sent = subprocess.run(
        [
            str(Path(sys.executable).with_name("mllp_send")),
            f"--port={pair.mllp_port}",
            f"--file={tmp_path / 'message.hl7'}",
            "--loose",
            "127.0.0.1",
        ],
        capture_output=True,
        check=True,
    )
    assert b"MSA|AA|REAL1" in sent.stdout
    [message] = pair.wait_for(1)
    assert message == adt("REAL1")


def test_curl_is_answered_and_its_message_arrives(pair: Pair) -> None:
    def curl(body: str, key: str = API_KEY) -> tuple[int, dict[str, object]]:
        answer = subprocess.run(
            [
                "curl", "-sS", "-w", "\n%{http_code}", "--data-binary", body,
                "-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json",
                f"http://127.0.0.1:{pair.http_port}/channels/booking/messages",
            ],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        text, status = answer.rsplit("\n", 1)
        return int(status), json.loads(text)

    status, body = curl('{"id": "一"}')
    assert status == 202
    assert len(str(body["message_id"])) == 32
    assert pair.wait_for(1, "booking") == ['{"id":"一"}'.encode()]
    status, body = curl('{"id": 1}')
    assert (status, body["reason"]) == (422, "schema_mismatch")
    status, body = curl('{"id": "2"}', key="wrong")
    assert (status, body["reason"]) == (401, "sender_unknown")


def test_a_repeated_message_is_acknowledged_again_and_crosses_once(pair: Pair) -> None:
    assert pair.send(adt("1"), adt("1")) == ["AA", "AA"]
    pair.agents.stop("outer")
    pair.agents.start_outer()
    pair.agents.wait_ready()
    assert pair.send(adt("1"), adt("2")) == ["AA", "AA"]
    assert pair.wait_for(2) == [adt("1"), adt("2")]
    assert pair.agents.metric("outer", "ferry_outer_messages_total", outcome="repeated") == 1


def test_the_same_id_with_other_bytes_is_a_new_message(pair: Pair) -> None:
    assert pair.send(adt("1", "one"), adt("1", "two")) == ["AA", "AA"]
    assert pair.wait_for(2) == [adt("1", "one"), adt("1", "two")]


def test_each_process_killed_under_load_loses_and_doubles_nothing(pair: Pair) -> None:
    """A first small version of the fault harness: senders resend what was not acknowledged."""
    acknowledged: list[int] = []
    ended = threading.Event()

    def keep_sending() -> None:
        number = 0
        while not ended.is_set():
            try:
                sender = MllpSender(pair.mllp_port)
            except OSError:
                time.sleep(0.05)
                continue
            try:
                while not ended.is_set():
                    if code_of(sender.send(adt(str(number)))) == "AA":
                        acknowledged.append(number)
                        number += 1
            except (OSError, ValueError):
                time.sleep(0.05)
            finally:
                sender.close()

    thread = threading.Thread(target=keep_sending)
    thread.start()
    try:
        for name in ("verifier", "outer", "replayer", "outer", "verifier"):
            time.sleep(0.7)
            pair.agents.kill(name)
            if name == "outer":
                pair.agents.start_outer()
            else:
                pair.agents.start_inner([name])
        enough = max(51, len(acknowledged) + 10)
        deadline_s = time.monotonic() + 60
        while len(acknowledged) < enough:
            assert time.monotonic() < deadline_s, pair.agents.tail()
            time.sleep(0.05)
    finally:
        ended.set()
        thread.join(60)
    arrived = pair.wait_for(len(acknowledged))
    ids = [int(message.split(b"|")[9]) for message in arrived]
    assert ids[: len(acknowledged)] == acknowledged
    assert len(ids) == len(set(ids))


def test_a_lost_file_is_named_and_its_resend_restores_the_order(pair: Pair) -> None:
    pair.send(adt("0"))
    pair.wait_for(1)
    pair.agents.stop("verifier")
    pair.send(*(adt(str(number)) for number in range(1, 6)))
    medium = pair.agents.folder / "medium"
    lost = sorted(medium.glob("*/*/*.ferry"))[-3]
    sequence = int(lost.stem)
    lost.unlink()
    policy = pair.agents.folder / "inner-policy.toml"
    shorten_the_wait(pair, policy)
    pair.agents.start_inner(["verifier"])

    deadline_s = time.monotonic() + 20
    while pair.command("inner_agent", "gaps").returncode == 0:
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    told = pair.command("inner_agent", "gaps")
    assert f"ferry-outer resend --range {sequence}-{sequence}" in told.stdout
    assert pair.command("inner_agent", "status").returncode == 1
    assert len(pair.delivered()) < 6

    slips = pair.command("inner_agent", "gaps", "--slip")
    assert slips.returncode == 1
    (line,) = [each for each in slips.stdout.splitlines() if "--slip" in each]
    slip = line.split('"')[1]
    misread = pair.command("outer_agent", "resend", "--slip", slip.replace("FERRY1", "FERRY1 7"))
    assert misread.returncode != 0
    assert "letter by letter" in misread.stderr
    resent = pair.command("outer_agent", "resend", "--slip", slip.lower())
    assert "published again: 1 files" in resent.stdout, resent.stderr
    assert pair.wait_for(6) == [adt(str(number)) for number in range(6)]
    assert pair.command("inner_agent", "gaps").stdout == "nothing is missing\n"
    again = pair.command("outer_agent", "resend", "--since", "1h")
    assert int(again.stdout.split()[2]) >= 6, again.stderr
    pair.send(adt("6"))
    assert pair.wait_for(7) == [adt(str(number)) for number in range(7)], "repeats were not dropped"


def shorten_the_wait(pair: Pair, policy: Path) -> None:
    from ferry_format.keys import KeyKind
    from ferry_runtime.policy import sign
    from ferry_runtime.secrets import read_key

    text = policy.read_text()
    policy.write_text(text.replace("gap_wait_s = 30.0", "gap_wait_s = 0.5", 1))
    sign(policy, read_key(pair.agents.keys / "security-admin.key", KeyKind.SECURITY_ADMIN))


def test_a_medium_that_goes_away_defers_messages_and_recovers_by_itself(pair: Pair) -> None:
    medium = pair.agents.folder / "medium"
    pair.send(adt("0"))
    away = medium.rename(medium.with_name("away"))
    assert pair.send(adt("1")) == ["AE"]
    away.rename(medium)
    assert pair.send(adt("1")) == ["AA"]
    assert pair.wait_for(2) == [adt("0"), adt("1")]


def test_where_is_it_is_answered_by_control_id(pair: Pair) -> None:
    pair.send(adt("4711"))
    pair.wait_for(1)
    deadline_s = time.monotonic() + 5
    while True:
        told = pair.command("inner_agent", "messages", "--control-id", "4711", "--json")
        row = json.loads(told.stdout)
        if row["state"] == "delivered" or time.monotonic() > deadline_s:
            break
    assert (row["channel"], row["channel_sequence"], row["state"]) == ("adt", 1, "delivered")
    assert "张三" not in told.stdout
    unknown = pair.command("inner_agent", "messages", "--control-id", "4712")
    assert unknown.stdout == "no such message was received\n"


def test_the_auditor_can_verify_what_crossed(pair: Pair) -> None:
    pair.send(adt("1"), b"MSH|^~\\&|a|b|c|d|20260101||ADT^A99|9|P|2.5\r")
    pair.wait_for(1)
    time.sleep(1.2)
    pair.agents.stop()
    for side, folder in (
        ("outer", "outer/audit"),
        ("inner", "inner/audit/verifier"),
        ("inner", "inner/audit/replayer"),
    ):
        command = [sys.executable, "-m", "ferry_runtime.commands.audit", "verify"]
        command += [str(pair.agents.folder / folder), "--key"]
        command += [str(pair.agents.keys / f"{side}-audit.pub")]
        told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        assert told.returncode == 0, told.stdout + told.stderr
        assert "result: whole" in told.stdout
        policy = hashlib.sha256((pair.agents.folder / f"{side}-policy.toml").read_bytes())
        written = "".join(p.read_text() for p in (pair.agents.folder / folder).glob("*.jsonl"))
        assert f'"policy":"{policy.hexdigest()}"' in written
    trail = "".join(p.read_text() for p in (pair.agents.folder / "outer/audit").glob("*.jsonl"))
    assert "message_admitted" in trail
    assert "message_type_not_allowed" in trail
    assert "张三" not in trail


def test_no_patient_data_in_logs_metrics_or_audit(pair: Pair) -> None:
    pair.send(adt("1", "密语患者"), adt("2", "密语\x01患者"))
    pair.wait_for(1)
    time.sleep(1.2)
    texts = [pair.agents.observe("outer"), pair.agents.observe("inner")]
    texts += [p.read_text(errors="replace") for p in pair.agents.folder.rglob("*.log")]
    texts += [p.read_text(errors="replace") for p in pair.agents.folder.rglob("*.jsonl")]
    assert not [text for text in texts if "密语" in text or "\\u5bc6\\u8bed" in text]
