"""Objects cross as parts through real agents: whole or not at all, whatever ends on the way."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ferry_format.limits import PART_BYTES
from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.large_objects import LargeObject, Received, StreamingReceiver, post
from tests.simulator.messages import adt

pytestmark = pytest.mark.timeout(300)
API_KEY = "the-key-of-the-front"
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
MIB = 1024 * 1024


class Site:
    """Images over HTTP to an HTTP sink, scans from folder to folder, ADT over MLLP to a folder."""

    def __init__(self, folder: Path, images: StreamingReceiver, *, medium_bytes: int = 0) -> None:
        self.images = images
        self.mllp_port, self.http_port = free_port(), free_port()
        self.drop, self.scans, self.adt = (folder / name for name in ("drop", "scans", "adt"))
        for path in (self.drop, self.scans, self.adt):
            path.mkdir()
        self.agents = FerryPair(
            folder,
            [
                Channel("image", content("application/dicom", 8 * 1024), "pacs"),
                Channel("scan", content("application/pdf", 100), "archive"),
                Channel(
                    "adt",
                    '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = "any"',
                    "adt",
                ),
            ],
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{self.http_port}"\n'
            f'[[sources]]\nkind = "mllp"\nname = "adt-in"\n'
            f'listen = "127.0.0.1:{self.mllp_port}"\nchannel = "adt"\n'
            f'[[sources]]\nkind = "folder"\nname = "scans-in"\npath = "{self.drop}"\n'
            f'channel = "scan"\nsettle_s = 0.2\npoll_s = 0.2\n'
            + (f"[spool]\nbytes_max = {medium_bytes}\n" if medium_bytes else ""),
            f'[[sinks]]\nkind = "http"\nname = "pacs"\nurl = "{images.url}"\n'
            f'[[sinks]]\nkind = "folder"\nname = "archive"\npath = "{self.scans}"\n'
            f'suffix = ".pdf"\n'
            f'[[sinks]]\nkind = "folder"\nname = "adt"\npath = "{self.adt}"\n',
            '[[senders]]\nname = "hospital-front"\nlisteners = ["adt-in", "scans-in"]\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
            gap_wait_s=3.0,
        )
        self.agents.write()
        self.agents.start()

    def post(
        self,
        made: LargeObject,
        while_sending: Callable[[int], None] = lambda _sent: None,
        **headers: str,
    ) -> tuple[int, dict[str, object]]:
        named = {**AUTHORIZATION, "Content-Type": "application/dicom", **headers}
        status, body = post(self.http_port, "image", made.blocks(), made.size, named, while_sending)
        return status, json.loads(body)

    def wait_for_images(self, number: int, timeout_s: float = 60) -> list[Received]:
        self.wait(lambda: len(self.images.received) >= number, timeout_s)
        return self.images.received

    def wait(self, holds: Callable[[], bool], timeout_s: float = 60) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline_s, self.agents.tail()
            time.sleep(0.05)

    @property
    def kept_objects(self) -> list[Path]:
        """The folders of objects that the inner has, or has parts of."""
        return list((self.agents.inner_state / "objects").iterdir())


def content(kind: str, mib: int) -> str:
    return f'[channels.content.object]\ntype = "{kind}"\nbytes_max = {mib * MIB}'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with StreamingReceiver() as images:
        site = Site(tmp_path, images)
        yield site
        for name in list(site.agents.processes):
            site.agents.kill(name)


def test_an_object_reaches_an_http_sink_whole_and_once(site: Site) -> None:
    made = LargeObject(1, 2 * PART_BYTES + 12_345)
    status, told = site.post(made, **{"Idempotency-Key": "study-1"})
    assert (status, told["duplicate"]) == (202, False)
    [received] = site.wait_for_images(1)
    assert received == Received(
        str(told["message_id"]), "application/dicom", made.size, made.sha256()
    )
    again, told_again = site.post(made, **{"Idempotency-Key": "study-1"})
    assert (again, told_again) == (202, {**told, "duplicate": True})
    other, problem = site.post(LargeObject(2, 9 * MIB), **{"Idempotency-Key": "study-1"})
    assert (other, problem["reason"]) == (409, "id_reused")
    status, _ = site.post(LargeObject(3, 132))
    assert status == 202
    assert [one.size for one in site.wait_for_images(2)] == [made.size, 132]


def test_curl_streams_a_file(site: Site, tmp_path: Path) -> None:
    made = LargeObject(20, 9 * MIB)
    (tmp_path / "study.dcm").write_bytes(made.whole())
    answer = subprocess.run(
        [
            "curl", "-sS", "-w", "\n%{http_code}", "-X", "POST", "-T", tmp_path / "study.dcm",
            "-H", f"Authorization: Bearer {API_KEY}", "-H", "Content-Type: application/dicom",
            f"http://127.0.0.1:{site.http_port}/channels/image/messages",
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert answer.stdout.endswith("\n202")
    assert [one.sha256 for one in site.wait_for_images(1)] == [made.sha256()]


def test_what_is_no_lawful_object_is_refused_before_anything_crosses(site: Site) -> None:
    def refusal(made: LargeObject, **headers: str) -> tuple[int, object]:
        status, problem = site.post(made, **headers)
        return status, problem["reason"]

    no_dicom = LargeObject(1, 9 * MIB)
    blocks = (b"MZ" * (MIB // 2) for _ in range(9))
    status, body = post(site.http_port, "image", blocks, no_dicom.size, AUTHORIZATION)
    assert (status, json.loads(body)["reason"]) == (422, "not_well_formed")
    assert refusal(LargeObject(1, 10), **{"Content-Type": "image/png"}) == (
        415,
        "content_type_not_allowed",
    )
    chunked = {"Transfer-Encoding": "chunked"}
    connection_status, body = post_head(site.http_port, chunked)
    assert (connection_status, json.loads(body)["reason"]) == (411, "length_required")
    connection_status, body = post_head(site.http_port, {"Content-Length": str(9 << 30)})
    assert (connection_status, json.loads(body)["reason"]) == (413, "message_too_large")
    assert site.agents.metric("outer", "ferry_outer_messages_total", outcome="refused") == 4
    assert site.kept_objects == []


def post_head(port: int, headers: dict[str, str]) -> tuple[int, bytes]:
    """Announce a body and send none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("POST", "/channels/image/messages")
    for name, value in {**AUTHORIZATION, **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    told = answer.status, answer.read()
    connection.close()
    return told


def test_a_dropped_file_reaches_a_folder_byte_for_byte(site: Site) -> None:
    scan = b"%PDF-1.7\n" + LargeObject(4, 9 * MIB).whole()
    (site.drop / "scan.pdf").write_bytes(scan)
    (site.drop / "virus.pdf").write_bytes(b"MZ" + scan)
    site.wait(lambda: len(list(site.scans.glob("*.pdf"))) == 1)
    site.wait((site.drop / "refused" / "virus.pdf").exists)
    [arrived] = site.scans.glob("*.pdf")
    assert arrived.read_bytes() == scan
    assert "not_well_formed" in (site.drop / "refused" / "virus.pdf.reason.txt").read_text()
    assert (site.drop / "done" / "scan.pdf").exists()


def test_small_messages_of_other_channels_pass_while_an_object_is_on_its_way(site: Site) -> None:
    sender = MllpSender(site.mllp_port)
    waits_s: list[float] = []

    def send_one(sent: int) -> None:
        if sent % (2 * MIB) == 0 and len(waits_s) < 20:
            began_s, number = time.monotonic(), len(waits_s)
            assert code_of(sender.send(adt(f"BESIDE{number}"))) == "AA"
            site.wait(lambda: len(list(site.adt.glob("*.hl7"))) > number)
            waits_s.append(time.monotonic() - began_s)

    status, _ = site.post(LargeObject(5, 48 * MIB), send_one)
    sender.close()
    assert status == 202
    assert site.images.received == []  # each of them arrived before the object's last part was sent
    assert len(waits_s) == 20
    assert sorted(waits_s)[10] < 1.0, waits_s
    site.wait_for_images(1)


def test_an_object_that_is_not_sent_to_its_end_leaves_nothing_behind(site: Site) -> None:
    class HungUp(Exception):
        pass

    def hang_up(sent: int) -> None:
        if sent == 12 * MIB:
            site.wait(lambda: site.kept_objects != [])
            raise HungUp

    with pytest.raises(HungUp):
        site.post(LargeObject(6, 40 * MIB), hang_up)
    site.wait(lambda: site.kept_objects == [])
    withdrawn = {"outcome": "withdrawn", "reason": "object_abandoned"}
    site.wait(lambda: site.agents.metric("inner", "ferry_inner_messages_total", **withdrawn) == 1)
    assert site.post(LargeObject(7, 9 * MIB))[0] == 202
    assert [one.size for one in site.wait_for_images(1)] == [9 * MIB]


@pytest.mark.parametrize("process", ["outer", "verifier", "replayer"])
def test_whoever_is_killed_half_way_the_sink_sees_whole_objects_once_each(
    site: Site, process: str
) -> None:
    def kill(sent: int) -> None:
        if sent == 20 * MIB:
            site.agents.kill(process)
            if process != "outer":
                site.agents.start_inner([process])

    made = LargeObject(8, 40 * MIB)
    taken = []
    try:
        status, told = site.post(made, kill, **{"Idempotency-Key": "study-8"})
        taken.append(status)
    except OSError:
        assert process == "outer"
        site.agents.start_outer()
        site.agents.wait_ready()
        site.wait(lambda: site.kept_objects == [])
        status, told = site.post(made, **{"Idempotency-Key": "study-8"})
        taken.append(status)
    assert taken == [202]
    [received] = site.wait_for_images(1)
    assert received == Received(
        str(told["message_id"]), "application/dicom", made.size, made.sha256()
    )
    assert site.post(LargeObject(9, 5 * MIB))[0] == 202
    site.wait_for_images(2)
    assert [one.size for one in site.images.received] == [40 * MIB, 5 * MIB]


def test_a_replayer_killed_while_it_sends_sends_the_whole_again_under_the_same_id(
    site: Site,
) -> None:
    def kill_at_first_byte() -> None:
        assert site.images.began.wait(60)
        site.agents.kill("replayer")
        site.agents.start_inner(["replayer"])

    killing = threading.Thread(target=kill_at_first_byte)
    killing.start()
    status, told = site.post(LargeObject(10, 200 * MIB))
    assert status == 202
    killing.join()
    received = site.wait_for_images(1)
    assert {(one.idempotency_key, one.size) for one in received} == {
        (str(told["message_id"]), 200 * MIB)
    }
    assert site.images.broken == 1


def test_parts_that_come_late_complete_the_object_in_its_place(site: Site) -> None:
    site.agents.stop("verifier")
    made = LargeObject(11, 5 * PART_BYTES)
    assert site.post(made)[0] == 202
    assert site.post(LargeObject(12, MIB))[0] == 202
    files = sorted((site.agents.folder / "medium").glob("*/*/*.ferry"))
    [second_part, third_part] = [file for file in files if file.stat().st_size > PART_BYTES][1:3]
    for file in (second_part, third_part):
        shutil.move(file, site.agents.folder / file.name)
    site.agents.start_inner(["verifier"])
    site.wait(lambda: site.agents.metric("inner", "ferry_inner_gap_files") > 0, 90)
    assert site.images.received == []
    for file in (third_part, second_part):
        shutil.move(site.agents.folder / file.name, file)
    received = site.wait_for_images(2, 90)
    assert [(one.size, one.sha256) for one in received] == [
        (made.size, made.sha256()),
        (MIB, LargeObject(12, MIB).sha256()),
    ]
