"""What a version leaves on both hosts, made to be kept: `python -m tests.upgrade.left_behind`.

A pair of agents is stopped in the midst of everything: messages delivered, waiting, dead, held by
a gap, on the medium only; an object journaled and one on the medium. What each released version
leaves is kept under its number; later versions must go on from it (test_upgrade.py). What is
published there stays byte for byte, keys included: they are for tests only. The commit is the code
that made it, for test_one_version_back.py: make it from a commit that is whole.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from tests.simulator.clients import HttpSender, MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.large_objects import LargeObject
from tests.simulator.messages import adt

HERE = Path(__file__).parent
API_KEY = "published-with-the-tests"
AUTHORIZATION = {"Authorization": f"Bearer {API_KEY}"}
SCHEMA = b'{"type": "object", "required": ["id"]}'
KEPT = ("keys", "medium", "outer", "inner")
MADE_ANEW = ("*.prom", "lock", "hint")
MARK = "# PUBLISHED TEST KEY. Everybody has it: never use it.\n"
DELIVERED = [f"DELIVERED{number}" for number in range(3)]
WAITING = [f"WAITING{number}" for number in range(2)]
HELD = "HELD"
MISSING = "MISSING"
ON_MEDIUM = [f"MEDIUM{number}" for number in range(2)]
JOURNALED, COMING = LargeObject(1, 5000), LargeObject(2, 6000)


class Bookings:
    """An internal system that refuses for good, until told otherwise."""

    def __init__(self) -> None:
        self.status = 422
        self.bodies: list[bytes] = []
        system = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if system.status < 300:
                    system.bodies.append(body)
                self.send_response(system.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/bookings"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Site:
    """Both hosts in a folder; keys and states that lie there are gone on with."""

    def __init__(self, folder: Path, bookings: Bookings, gap_wait_s: float = 2.0) -> None:
        self.mllp_port, self.http_port = free_port(), free_port()
        self.adt, self.images = folder / "adt", folder / "images"
        for path in (self.adt, self.images):
            path.mkdir(parents=True, exist_ok=True)
        (folder / "schema.json").write_bytes(SCHEMA)
        digest = hashlib.sha256(SCHEMA).hexdigest()
        self.agents = FerryPair(
            folder,
            [
                Channel(
                    "adt",
                    '[channels.content.hl7v2]\nmessages = ["*"]\nsegments = "any"',
                    "adt",
                ),
                Channel(
                    "booking",
                    f'[channels.content.json]\nschema_file = "schema.json"\n'
                    f'schema_sha256 = "{digest}"',
                    "bookings",
                ),
                Channel("image", '[channels.content.object]\ntype = "application/dicom"', "images"),
            ],
            f'[spool]\nkeep_hours = 876000.0\n[[sources]]\nkind = "mllp"\nname = "adt-in"\n'
            f'listen = "127.0.0.1:{self.mllp_port}"\nchannel = "adt"\n'
            f'[[sources]]\nkind = "http"\nname = "web"\nlisten = "127.0.0.1:{self.http_port}"',
            f"[journal]\nkeep_hours = 876000.0\nkeep_record_hours = 876000.0\n"
            f'[[sinks]]\nkind = "folder"\nname = "adt"\npath = "{self.adt}"\n'
            f'[[sinks]]\nkind = "folder"\nname = "images"\npath = "{self.images}"\n'
            f'[[sinks]]\nkind = "http"\nname = "bookings"\nurl = "{bookings.url}"',
            '[[senders]]\nname = "hospital-front"\nlisteners = ["adt-in"]\n'
            f'api_keys_sha256 = ["{hashlib.sha256(API_KEY.encode()).hexdigest()}"]',
            gap_wait_s=gap_wait_s,
            medium_keep_hours=876000,
        )
        self.agents.write()

    def send(self, *control_ids: str) -> None:
        sender = MllpSender(self.mllp_port)
        for control_id in control_ids:
            assert code_of(sender.send(adt(control_id))) == "AA"
        sender.close()

    def post(self, channel: str, body: bytes, key: str) -> bytes:
        sender = HttpSender(self.http_port, AUTHORIZATION)
        status, answer = sender.send(channel, body, **{"Idempotency-Key": key})
        sender.close()
        assert status == 202, answer
        return answer

    def delivered(self) -> list[str]:
        """MSH-10 of what stands in the ADT system's folder, in order."""
        files = sorted(path for path in self.adt.iterdir() if path.name[0] != ".")
        return [path.read_bytes().split(b"|")[9].decode() for path in files]

    def wait(self, holds: Callable[[], bool], timeout_s: float = 30) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not holds():
            self.agents.check_alive()
            assert time.monotonic() < deadline_s, self.agents.tail()
            time.sleep(0.05)


def holds_one(agents: FerryPair) -> bool:
    """Whether the verifier went past the gap and holds the message after it."""
    told = agents.inner_state / "verifier.prom"
    return told.exists() and 'held_messages{channel="adt"} 1.0' in told.read_text()


def leave_behind(folder: Path) -> None:
    """Run a pair in `folder` and stop it in the midst of everything."""
    with Bookings() as bookings:
        site = Site(folder, bookings)
        agents = site.agents
        agents.start()
        site.send(*DELIVERED)
        site.post("booking", b'{"id": "refused"}', "booking-1")
        site.wait(lambda: site.delivered() == DELIVERED)
        site.wait(lambda: agents.metric("inner", "ferry_inner_dead_letters") == 1)
        agents.stop("replayer")
        site.send(*WAITING)
        site.post("image", JOURNALED.whole(), "image-1")
        agents.stop("verifier")
        before = files(agents)
        site.send(MISSING)
        [missing] = files(agents) - before
        site.send(HELD)
        missing.unlink()
        agents.start_inner(["verifier"])
        site.wait(lambda: holds_one(agents))
        agents.stop("verifier")
        site.send(*ON_MEDIUM)
        site.post("image", COMING.whole(), "image-2")
        agents.stop("outer")


def files(agents: FerryPair) -> set[Path]:
    """The ferry files with more than a heartbeat in them."""
    assert agents.medium is not None
    return {path for path in agents.medium.glob("*/*/*.ferry") if path.stat().st_size > 1600}


def keep(folder: Path, version: str) -> Path:
    """Copy what both hosts have to keep under `version`."""
    kept = HERE / version
    if kept.exists():
        raise SystemExit(f"{kept.name} is there, and stays as it is")
    for name in KEPT:
        shutil.copytree(folder / name, kept / name, ignore=shutil.ignore_patterns(*MADE_ANEW))
    for key in (kept / "keys").glob("*.key"):
        key.write_text(MARK + key.read_text())
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HERE, capture_output=True, check=True)
    (kept / "commit").write_bytes(told.stdout)
    return kept


def main() -> None:
    version = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        leave_behind(Path(folder) / "site")
        print(keep(Path(folder) / "site", version))


if __name__ == "__main__":
    main()
