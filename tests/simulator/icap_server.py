"""A real ICAP server (c-icap with its virus_scan service), which asks a clamd that a test runs."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.simulator.clamav import Clamd

_UNPACKED = Path(sys.executable).parents[1] / "c-icap"
PROGRAM = _UNPACKED / "usr/bin/c-icap"
_CONFIGURATION = """\
Port 127.0.0.1:{port}
PidFile {folder}/pid
CommandsSocket {folder}/ctl
TmpDir {folder}
ServerLog {folder}/server.log
AccessLog {folder}/access.log
StartServers 1
MaxServers 1
ThreadsPerChild 8
ModulesDir {modules}
ServicesDir {modules}
TemplateDir {unpacked}/usr/share/c_icap/templates/
LoadMagicFile {unpacked}/etc/c-icap/c-icap.magic
Module common clamd_mod.so
clamd_mod.ClamdSocket {clamd}
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
Service echo srv_echo.so
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE DOCUMENT
virus_scan.MaxObjectSize 100M
virus_scan.DefaultEngine clamd
"""


class IcapServer:
    """Listens on loopback; `service` is the URL of its virus scan."""

    def __init__(self, folder: Path, clamd: Clamd) -> None:
        folder.mkdir()
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self.port: int = chosen.getsockname()[1]
        self.service = f"icap://127.0.0.1:{self.port}/avscan"
        self._process: subprocess.Popen[bytes] | None = None
        (modules,) = _UNPACKED.glob("usr/lib/*/c_icap")
        self._file = folder / "c-icap.conf"
        self._file.write_text(
            _CONFIGURATION.format(
                port=self.port,
                folder=folder,
                modules=modules,
                unpacked=_UNPACKED,
                clamd=clamd.socket,
            )
        )

    def start(self) -> None:
        self._process = subprocess.Popen(
            [PROGRAM, "-N", "-f", self._file],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + 30
        while not self._answers():
            assert self._process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
            self._process = None
