"""From a modality's C-STORE to a PACS's, through real agents: dcmtk at both ends."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from ferry_format import keys
from ferry_format.keys import KeyKind
from tests.simulator.configured_site import NOW
from tests.simulator.dicom_files import ct
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from validators.deidentify.keyed import Keyed

pytestmark = pytest.mark.timeout(240)


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not there (make packages)")
    return found


@contextmanager
def storescp(folder: Path, port: int) -> Iterator[None]:
    folder.mkdir()
    command = [program("storescp"), "-aet", "PACS", "-od", str(folder), "+uf", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as far:
        try:
            yield
        finally:
            far.kill()


def pair_in(
    folder: Path,
    store_port: int,
    pacs_port: int,
    *,
    tables: str = "",
    outer_options: str = "",
    inner_options: str = "",
) -> FerryPair:
    content = '[channels.content.dicom]\nsop_classes = ["CTImageStorage"]'
    return FerryPair(
        folder,
        [
            Channel(
                "images",
                content,
                "pacs",
                outer_options=outer_options,
                inner_options=inner_options,
            )
        ],
        tables + f'[[sources]]\nkind = "dicom"\nname = "store"\nlisten = "127.0.0.1:{store_port}"\n'
        f'channel = "images"\nae_title = "FERRY"\npeers = ["127.0.0.1"]\n',
        f'[[sinks]]\nkind = "dicom"\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs_port}\n'
        f'ae_title = "FERRY"\ncalled_ae_title = "PACS"\n',
        '[[senders]]\nname = "hospital-front"\nae_titles = ["CT1"]',
    )


@contextmanager
def running(pair: FerryPair, stored: Path, pacs_port: int) -> Iterator[Callable[[int], None]]:
    """Run both agents and the archive; what is given waits until so many instances are stored."""

    def wait_for(count: int) -> None:
        deadline_s = time.monotonic() + 90
        while len(list(stored.iterdir())) < count:
            assert time.monotonic() < deadline_s, pair.tail()
            time.sleep(0.1)

    pair.write()
    with storescp(stored, pacs_port):
        pair.start()
        try:
            yield wait_for
            pair.stop()
        finally:
            for name in list(pair.processes):
                pair.kill(name)


def store(folder: Path, port: int, syntax: str, *names: str) -> int:
    """Send files by storescu; its exit code."""
    command = [program("storescu"), syntax, "-aet", "CT1", "-aec", "FERRY", "127.0.0.1", str(port)]
    return subprocess.run([*command, *names], cwd=folder, check=False, timeout=120).returncode


def test_images_cross_from_storescu_to_storescp(tmp_path: Path) -> None:
    store_port, pacs_port = free_port(), free_port()
    sent = {
        "1.dcm": ct(1, rows=256, PatientName="张^三"),
        "2.dcm": ct(2, rows=512, NumberOfFrames=20),  # 10 MB: three parts
        "3.dcm": ct(3, implicit=True),
    }
    for name, instance in sent.items():
        (tmp_path / name).write_bytes(instance)
    stored = tmp_path / "pacs"
    with running(pair_in(tmp_path, store_port, pacs_port), stored, pacs_port) as wait_for:
        assert store(tmp_path, store_port, "-xe", "1.dcm", "2.dcm") == 0
        assert store(tmp_path, store_port, "-xi", "3.dcm") == 0
        wait_for(3)
    arrived = {read.SOPInstanceUID: read for read in map(dcmread, stored.iterdir())}
    for instance in map(dcmread, (tmp_path / name for name in sent)):
        assert arrived[instance.SOPInstanceUID] == instance


def test_de_identified_images_cross_as_instances_of_their_own(tmp_path: Path) -> None:
    store_port, pacs_port = free_port(), free_port()
    key = keys.generate(KeyKind.DEIDENTIFICATION, "research", NOW)
    path = tmp_path / "research.key"
    path.touch(mode=0o600)
    path.write_text(keys.private_text(key))
    pair = pair_in(
        tmp_path,
        store_port,
        pacs_port,
        tables=f'[deidentification]\nkeys = ["{path}"]\n',
        outer_options='[channels.deidentification]\nkey = "research"\n',
        inner_options="deidentified = true",
    )
    for number in (1, 2):
        sent = ct(number, rows=1100, PatientName="张^三丰", AccessionNumber="ZY10086")
        (tmp_path / f"{number}.dcm").write_bytes(sent)
    (tmp_path / "3.dcm").write_bytes(ct(3, BurnedInAnnotation="YES"))
    stored = tmp_path / "pacs"
    with running(pair, stored, pacs_port) as wait_for:
        assert store(tmp_path, store_port, "-xe", "1.dcm", "2.dcm") == 0
        assert store(tmp_path, store_port, "-xe", "3.dcm") != 0
        wait_for(2)
        left = {"reason": "personal_data_left"}
        assert pair.metric("outer", "ferry_outer_messages_total", **left) == 1
    keyed = Keyed(key.private or b"")
    first, second = sorted(map(dcmread, stored.iterdir()), key=lambda each: each.PixelData[0])
    assert first.SOPInstanceUID == first.file_meta.MediaStorageSOPInstanceUID == keyed.uid("2.25.1")
    assert first.StudyInstanceUID == second.StudyInstanceUID == keyed.uid("2.25.100")
    assert first.PatientID == keyed.pseudonym("4711")
    assert first.PixelData == dcmread(tmp_path / "1.dcm").PixelData
    for one in stored.iterdir():
        dumped = subprocess.run(
            [program("dcmdump"), "-q", "+E", str(one)], capture_output=True, check=True
        )
        assert dumped.stderr == b""
        held = one.read_bytes()
        for known in (b"4711", b"ZY10086", "张".encode("gb18030"), b"19800102", b"20261124"):
            assert known not in held
