"""HL7 batches over each source: answered message by message, crossing once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import aiohttp
import pytest

from ferry_format import reasons
from tests.simulator.folder_crossing import folder_crossing
from tests.simulator.messages import adt
from tests.simulator.outer_inside import API_KEY, HL7, OuterInside, channel
from tests.simulator.source_ways import Certificates, FolderWay, HttpWay, MllpWay, a_way

BHS = b"BHS|^~\\&|LAB|NET|HIS|HOSP|20260101||||BATCH-1|\r"
CONTENT = '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = ["EVN", "PID"]\n'


def batch(*messages: bytes) -> bytes:
    return BHS + b"".join(messages) + b"BTS|%d\r" % len(messages)


@pytest.fixture
def inside() -> OuterInside:
    return OuterInside([channel("adt", HL7, batches="split")])


@pytest.fixture
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"))


async def over_mllp(way: MllpWay, *contents: bytes) -> list[list[bytes]]:
    """The lines of the answer to each frame, all of them pipelined."""
    reader, writer = await way.open()
    writer.write(b"".join(b"\x0b" + content + b"\x1c\r" for content in contents))
    answers = [(await reader.readuntil(b"\x1c\r"))[1:-2] for _ in contents]
    writer.close()
    return [answer.split(b"\r") for answer in answers]


async def test_mllp_answers_a_batch_by_a_batch(inside, tmp_path, certificates) -> None:
    async with a_way("mllp", inside, tmp_path, certificates) as way:
        assert isinstance(way, MllpWay)
        sent = batch(adt("2"), adt("3", "REFUSE"), adt("4"))
        before, answer, after = await over_mllp(way, adt("1"), sent, adt("5"))
    assert answer[0].startswith(b"BHS|^~\\&|HIS|HOSP|LAB|NET|")
    assert answer[0].endswith(b"|BATCH-1")
    told = [line.split(b"|")[1:3] for line in answer if line.startswith(b"MSA")]
    assert told == [[b"AA", b"2"], [b"AR", b"3"], [b"AA", b"4"]]
    assert answer[-2:] == [b"BTS|3", b""]
    assert b"AA|1" in before[1]
    assert b"AA|5" in after[1]
    assert inside.publisher.payloads == [adt(each) for each in "1245"]


async def test_mllp_refuses_a_broken_batch_by_its_own_id(inside, tmp_path, certificates) -> None:
    async with a_way("mllp", inside, tmp_path, certificates) as way:
        assert isinstance(way, MllpWay)
        [answer] = await over_mllp(way, BHS + adt("1"))
    assert answer[0].startswith(b"MSH|^~\\&|HIS|HOSP|LAB|NET|")
    assert answer[1] == b"MSA|AR|BATCH-1"
    assert b"not_well_formed" in answer[2]
    assert inside.publisher.payloads == []


async def test_a_batch_on_a_channel_without_batches_is_refused_as_one(
    tmp_path, certificates
) -> None:
    inside = OuterInside([channel("adt", HL7)])
    async with a_way("mllp", inside, tmp_path, certificates) as way:
        assert isinstance(way, MllpWay)
        [answer] = await over_mllp(way, batch(adt("1", "REFUSE")))
    assert answer[1] == b"MSA|AR|BATCH-1"


async def test_enhanced_mode_leaves_out_what_nobody_wants_to_hear(
    inside, tmp_path, certificates
) -> None:
    quiet = adt("1").replace(b"|2.5|", b"|2.5|||NE|NE", 1)
    async with a_way("mllp", inside, tmp_path, certificates, acknowledgement="auto") as way:
        assert isinstance(way, MllpWay)
        [answer] = await over_mllp(way, batch(quiet, adt("2")))
    assert [line for line in answer if line.startswith(b"MSA")] == [b"MSA|AA|2"]
    assert b"BTS|1" in answer


async def post(way: HttpWay, body: bytes) -> tuple[int, dict, dict]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(way.url, data=body) as answer,
    ):
        return answer.status, dict(answer.headers), json.loads(await answer.read())


async def test_http_tells_the_ids_of_all_or_the_problem_of_each(
    inside, tmp_path, certificates
) -> None:
    async with a_way("http", inside, tmp_path, certificates) as way:
        assert isinstance(way, HttpWay)
        status, _, body = await post(way, batch(adt("1"), adt("2")))
        assert status == 202
        assert [each["duplicate"] for each in body["messages"]] == [False, False]
        assert len({each["message_id"] for each in body["messages"]}) == 2

        status, headers, problem = await post(way, batch(adt("1"), adt("3", "REFUSE"), adt("4")))
        assert status == 422
        assert "problem+json" in headers["Content-Type"]
        assert problem["reason"] == "batch_partly_refused"
        first, second, third = problem["messages"]
        assert first == body["messages"][0] | {"duplicate": True}
        assert (second["reason"], second["place"]) == ("segment_not_allowed", "segment 2")
        assert third["duplicate"] is False

        inside.publisher.failing = [None, reasons.Unavailable(reasons.OVERLOADED)]
        status, headers, problem = await post(way, batch(adt("5"), adt("6")))
        assert (status, problem["reason"]) == (503, "overloaded")
        assert int(headers["Retry-After"]) > 0
        assert "message_id" in problem["messages"][0]
    assert inside.publisher.payloads == [adt(each) for each in "1245"]


async def test_a_dropped_batch_is_done_whole_or_refused_with_the_names_of_what_was_not_taken(
    inside, tmp_path, certificates
) -> None:
    async with a_way("folder", inside, tmp_path, certificates) as way:
        assert isinstance(way, FolderWay)
        assert await way.send(batch(adt("1"), adt("2"))) == "taken"
        assert await way.send(batch(adt("3"), adt("4", "REFUSE"))) == "refused"
        inside.publisher.failing = [None, reasons.Unavailable(reasons.OVERLOADED)]
        assert await way.send(batch(adt("5"), adt("6"))) == "later"
        assert await way.send(batch(adt("5"), adt("6"))) == "taken"
    [note] = (tmp_path / "refused").glob("*.reason.txt")
    assert "message 2: segment_not_allowed, segment 2" in note.read_text()
    assert inside.publisher.payloads == [adt(each) for each in "12356"]


@pytest.mark.timeout(120)
def test_a_batch_crosses_as_messages_once_though_the_outer_dies_and_it_comes_again(
    tmp_path: Path,
) -> None:
    sent = batch(*(adt(str(number)) for number in range(12)))
    with folder_crossing(tmp_path, CONTENT, ".hl7", outer_options='batches = "split"') as crossing:
        (crossing.drop / "night.hl7").write_bytes(sent)
        while not any(crossing.out.iterdir()):
            crossing.pair.check_alive()
            time.sleep(0.02)
        crossing.pair.kill("outer")
        if not (crossing.drop / "night.hl7").exists():
            (crossing.drop / "done" / "night.hl7").rename(crossing.drop / "night.hl7")
        crossing.pair.start_outer()
        while not (crossing.drop / "done" / "night.hl7").exists():
            crossing.pair.check_alive()
            time.sleep(0.02)
        files = crossing.arrived(12)
        assert sorted(path.read_bytes() for path in files) == sorted(
            adt(str(number)) for number in range(12)
        )
