"""A real Prometheus and a real Alertmanager on this host, with the shipped rules, in a hurry.

Scrapes and evaluations are a second apart, and what the rules and routes wait for is cut to a
second; everything else is as it is shipped.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from tests.simulator.ferry_pair import free_port
from tests.simulator.programs import find_program

SHIPPED = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = ("alerts.yml", "recording.yml")


class Prometheus:
    """Scrapes `targets` (job to port on loopback), and tells `alertmanager` (a port) if given."""

    def __init__(
        self, folder: Path, targets: Mapping[str, int], alertmanager: int | None = None
    ) -> None:
        self._port = free_port()
        folder.mkdir()
        for name in RULES:
            text = (SHIPPED / name).read_text()
            (folder / name).write_text(re.sub(r"\b(for|keep_firing_for): \w+", r"\1: 1s", text))
        configuration: dict[str, Any] = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": list(RULES),
            "scrape_configs": [_job(name, port) for name, port in targets.items()],
        }
        if alertmanager is not None:
            at = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}
            configuration["alerting"] = {"alertmanagers": [at]}
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        self._process = _start(
            "prometheus",
            folder,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now."""
        return list(self.ask("query", query=expression)["result"])

    def is_up(self, jobs: int = 2) -> bool:
        try:
            return len(self.query("up == 1")) == jobs
        except OSError:
            return False

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


class Alertmanager:
    """Routes as shipped, but its notifications come here: `told` has (status, alert's name)."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.told: list[tuple[str, str]] = []
        told = self.told

        class Notified(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.extend((one["status"], one["labels"]["alertname"]) for one in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Notified)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        folder.mkdir()
        text = (SHIPPED / "alertmanager.yml").read_text()
        text = re.sub(r"\b(group_wait|group_interval): \w+", r"\1: 1s", text)
        text = text.replace("127.0.0.1:9095", f"127.0.0.1:{self._server.server_port}")
        (folder / "alertmanager.yml").write_text(text)
        self._process = _start(
            "prometheus-alertmanager",
            folder,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._server.shutdown()
        self._server.server_close()


def _job(name: str, port: int) -> dict[str, Any]:
    return {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}


def _start(program: str, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    command = find_program(program)
    assert command is not None
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([command, *options], stderr=log, stdout=log)
