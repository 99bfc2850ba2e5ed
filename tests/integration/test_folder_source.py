"""What only the drop folder does: crash and repetition, order, retries, names that tell nothing."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
from pathlib import Path

import pytest

from ferry_format import reasons
from ferry_format.reasons import Refused
from ferry_runtime import logs
from outer_agent.config import FolderSource
from outer_agent.sources.folder import DropFolder
from tests.simulator.messages import adt
from tests.simulator.outer_inside import HL7, JSON, OuterInside, channel, sender
from tests.simulator.waiting import until

BOTH_LOOPS = True


def source(inside: OuterInside, folder: Path, **fields) -> DropFolder:
    values = {"channel": "adt", "settle_s": 0.02, "poll_s": 0.05} | fields
    return DropFolder(
        FolderSource(kind="folder", name="drop", path=folder, **values), inside.surroundings
    )


def drop(folder: Path, name: str, content: bytes) -> None:
    (folder / f".{name}").write_bytes(content)
    (folder / f".{name}").rename(folder / name)


async def settled(folder: Path, number: int, subfolder: str = "done") -> list[str]:
    """Wait until so many files lie in the subfolder; their names."""
    await until(lambda: len(list((folder / subfolder).iterdir())) >= number)
    return sorted(path.name for path in (folder / subfolder).iterdir())


async def test_files_are_taken_in_the_order_of_their_names_and_share_commits(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    sent = {f"{n:03d}.hl7": adt(str(n)) for n in range(300)}
    for name in sorted(sent, reverse=True):
        drop(tmp_path, name, sent[name])
    inside.publisher.may_commit.clear()
    folder = source(inside, tmp_path)
    await folder.start()
    await until(lambda: inside.publisher.calls == 256)
    inside.publisher.may_commit.set()
    assert await settled(tmp_path, 300) == sorted(sent)
    await folder.stop()
    assert inside.publisher.payloads == [sent[name] for name in sorted(sent)]


async def test_a_crash_between_custody_and_move_delivers_once(tmp_path, monkeypatch) -> None:
    inside = OuterInside([channel("adt", JSON)])
    drop(tmp_path, "order.json", b'{"order": 1}')
    folder = source(inside, tmp_path)

    def crash(*_arguments):
        raise SystemError("as if the power failed")

    with monkeypatch.context() as patch:
        patch.setattr(folder._files, "settle_done", crash)
        await folder.start()
        async with asyncio.timeout(10):
            await inside.publisher.called.wait()
        await folder.stop()
    assert (tmp_path / "order.json").exists()
    again = source(inside, tmp_path)
    await again.start()
    assert await settled(tmp_path, 1) == ["order.json"]
    await again.stop()
    assert inside.publisher.payloads == [b'{"order": 1}']
    assert inside.audit.events[0] == "message_admitted"
    assert set(inside.audit.events[1:]) == {"message_repeated"}


async def test_the_same_name_with_other_bytes_is_another_message(tmp_path) -> None:
    inside = OuterInside([channel("adt", JSON)])
    folder = source(inside, tmp_path)
    await folder.start()
    for number, content in enumerate((b"[1]", b"[2]"), start=1):
        drop(tmp_path, "order.json", content)
        await settled(tmp_path, number)
    await folder.stop()
    assert inside.publisher.payloads == [b"[1]", b"[2]"]
    assert await settled(tmp_path, 2) == ["order.json", "order.json.1"]


async def test_while_nothing_can_be_taken_files_wait_in_order_and_the_log_stays_short(
    tmp_path,
) -> None:
    inside = OuterInside([channel("adt", HL7)])
    inside.fill()
    for number in range(50):
        drop(tmp_path, f"{number:02d}.hl7", adt(str(number)))
    folder = source(inside, tmp_path)
    await folder.start()
    await asyncio.sleep(0.5)
    assert 1 <= len(inside.audit.records) <= 15  # one a look, not one a file
    assert inside.count("deferred", reasons.MEDIUM_FULL) == len(inside.audit.records)
    inside.drain()
    await settled(tmp_path, 50)
    await folder.stop()
    assert inside.publisher.payloads == [adt(str(number)) for number in range(50)]


async def test_a_refused_file_holds_nobody_up(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    for number, text in enumerate(("good", "REFUSE", "good")):
        drop(tmp_path, f"{number}.hl7", adt(str(number), text))
    (tmp_path / "3.hl7").symlink_to("/etc/passwd")
    folder = source(inside, tmp_path)
    await folder.start()
    assert await settled(tmp_path, 2) == ["0.hl7", "2.hl7"]
    assert await settled(tmp_path, 4, "refused") == [
        "1.hl7",
        "1.hl7.reason.txt",
        "3.hl7",
        "3.hl7.reason.txt",
    ]
    await folder.stop()
    assert "reason: segment_not_allowed" in (tmp_path / "refused/1.hl7.reason.txt").read_text()
    assert "reason: file_not_plain" in (tmp_path / "refused/3.hl7.reason.txt").read_text()


async def test_a_file_with_a_very_long_name_holds_nobody_up(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    name = "1" + "长" * 84  # 253 bytes
    (tmp_path / name).write_bytes(adt("1", "REFUSE"))
    drop(tmp_path, "2.hl7", adt("2"))
    folder = source(inside, tmp_path)
    await folder.start()
    assert await settled(tmp_path, 1) == ["2.hl7"]
    await folder.stop()
    short = "1" + "长" * 81
    assert await settled(tmp_path, 2, "refused") == [short, f"{short}.reason.txt"]


async def test_a_file_that_cannot_be_moved_holds_nobody_up(tmp_path, monkeypatch) -> None:
    inside = OuterInside([channel("adt", HL7)])
    for number, text in enumerate(("good", "REFUSE", "good")):
        drop(tmp_path, f"{number}.hl7", adt(str(number), text))
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name in {"0.hl7", "1.hl7"}:
            raise OSError(errno.EPERM, "as if it were immutable")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    folder = source(inside, tmp_path)
    await folder.start()
    assert await settled(tmp_path, 1) == ["2.hl7"]
    await folder.stop()
    assert list((tmp_path / "refused").iterdir()) == []


async def test_a_file_still_being_written_is_taken_when_it_is_whole(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    folder = source(inside, tmp_path)
    await folder.start()
    message = adt("1", "x" * 1000)
    with (tmp_path / "slow.hl7").open("wb") as writer:
        for start in range(0, len(message), 100):
            writer.write(message[start : start + 100])
            writer.flush()
            await asyncio.sleep(0.03)
    await settled(tmp_path, 1)
    await folder.stop()
    assert inside.publisher.payloads == [message]


async def test_a_folder_that_goes_away_is_used_again_when_it_is_back(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    here, away = tmp_path / "here", tmp_path / "away"
    here.mkdir()
    folder = source(inside, here)
    await folder.start()
    here.rename(away)
    await asyncio.sleep(0.15)
    away.rename(here)
    drop(here, "1.hl7", adt("1"))
    await settled(here, 1)
    await folder.stop()


async def test_it_does_not_start_without_its_folder_or_its_sender(tmp_path) -> None:
    inside = OuterInside([channel("adt", HL7)])
    with pytest.raises(FileNotFoundError):
        await source(inside, tmp_path / "absent").start()
    nobody = OuterInside([channel("adt", HL7)], [sender(listeners=())])
    with pytest.raises(Refused) as refusal:
        await source(nobody, tmp_path).start()
    assert refusal.value.reason is reasons.SENDER_UNKNOWN


async def test_no_file_name_goes_any_further(tmp_path) -> None:
    stream = io.StringIO()
    logs.configure("test", stream, logging.DEBUG)
    inside = OuterInside([channel("adt", HL7)])
    folder = source(inside, tmp_path)
    drop(tmp_path, "ZHANG-SAN-1.hl7", adt("1"))
    drop(tmp_path, "ZHANG-SAN-2.hl7", adt("2", "REFUSE"))
    await folder.start()
    await settled(tmp_path, 1)
    await settled(tmp_path, 2, "refused")
    (tmp_path / "done").rename(tmp_path / "not-done")
    drop(tmp_path, "ZHANG-SAN-3.hl7", adt("3"))
    await until(lambda: "folder_unusable" in stream.getvalue())
    await folder.stop()
    told = stream.getvalue() + repr(inside.audit.records) + repr(inside.publisher.taken)
    assert "ZHANG" not in told
    assert "message_refused" in told
