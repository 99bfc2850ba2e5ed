"""From a modality's C-STORE to a PACS's, through real agents: dcmtk at both ends."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.simulator.dicom_files import ct
from tests.simulator.ferry_pair import Channel, FerryPair, free_port

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


def pair_in(folder: Path, store_port: int, pacs_port: int) -> FerryPair:
    return FerryPair(
        folder,
        [Channel("images", '[channels.content.dicom]\nsop_classes = ["CTImageStorage"]', "pacs")],
        f'[[sources]]\nkind = "dicom"\nname = "store"\nlisten = "127.0.0.1:{store_port}"\n'
        f'channel = "images"\nae_title = "FERRY"\npeers = ["127.0.0.1"]\n',
        f'[[sinks]]\nkind = "dicom"\nname = "pacs"\nhost = "127.0.0.1"\nport = {pacs_port}\n'
        f'ae_title = "FERRY"\ncalled_ae_title = "PACS"\n',
        '[[senders]]\nname = "hospital-front"\nae_titles = ["CT1"]',
    )


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
    pair = pair_in(tmp_path, store_port, pacs_port)
    pair.write()
    with storescp(stored, pacs_port):
        pair.start()
        try:
            command = [program("storescu"), "-xi", "-aet", "CT1", "-aec", "FERRY"]
            for names in (["1.dcm", "2.dcm"], ["3.dcm"]):
                syntax = "-xe" if len(names) == 2 else "-xi"
                subprocess.run(
                    [command[0], syntax, *command[2:], "127.0.0.1", str(store_port), *names],
                    cwd=tmp_path,
                    check=True,
                    timeout=120,
                )
            deadline_s = time.monotonic() + 90
            while len(list(stored.iterdir())) < 3:
                assert time.monotonic() < deadline_s, pair.tail()
                time.sleep(0.1)
            pair.stop()
        finally:
            for name in list(pair.processes):
                pair.kill(name)
    arrived = {read.SOPInstanceUID: read for read in map(dcmread, stored.iterdir())}
    for instance in map(dcmread, (tmp_path / name for name in sent)):
        assert arrived[instance.SOPInstanceUID] == instance
