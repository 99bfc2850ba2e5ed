"""A real Prometheus scrapes a real pair through a fault: the alert comes, and goes again."""

from __future__ import annotations

import json
import re
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fault.killed_pair import CountingSink
from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.messages import adt
from tests.simulator.programs import find_program

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"
CONTENT = '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = "any"'
SERVER = find_program("prometheus")

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(SERVER is None, reason="Prometheus is not there (make packages)"),
]


class Prometheus:
    """The server, with our rules, looking each second; waits of rules are cut to a second."""

    def __init__(self, folder: Path, pair: FerryPair) -> None:
        assert SERVER is not None
        self._port = free_port()
        folder.mkdir()
        (folder / "alerts.yml").write_text(re.sub(r"for: \w+", "for: 1s", RULES.read_text()))
        targets = {"ferry-outer": pair.outer_metrics_port, "ferry-inner": pair.inner_metrics_port}
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "scrape_configs": [
                {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                for name, port in targets.items()
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    SERVER,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stderr=log,
            )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)

    def ask(self, path: str, **parameters: str) -> Any:
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{query}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())["data"]

    def is_up(self) -> bool:
        try:
            found = self.ask("query", query="up == 1")["result"]
        except OSError:
            return False
        return len(found) == 2

    def firing(self) -> set[str]:
        alerts = self.ask("alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[tuple[FerryPair, int, int]]:
    """A pair whose sink nobody listens at yet; its ports in and out."""
    mllp_port, sink_port = free_port(), free_port()
    pair = FerryPair(
        tmp_path,
        [Channel("adt", CONTENT, "his", inner_options="retry_first_s = 0.2\nretry_most_s = 1.0")],
        f'[[sources]]\nkind = "mllp"\nname = "adt-in"\n'
        f'listen = "127.0.0.1:{mllp_port}"\nchannel = "adt"',
        f'[[sinks]]\nkind = "mllp"\nname = "his"\nhost = "127.0.0.1"\nport = {sink_port}',
        '[[senders]]\nname = "hospital-front"\nlisteners = ["adt-in"]',
    )
    pair.write()
    pair.start()
    yield pair, mllp_port, sink_port
    for name in list(pair.processes):
        pair.kill(name)


def test_a_dead_sink_is_told_and_so_is_its_return(
    hospital: tuple[FerryPair, int, int], tmp_path: Path
) -> None:
    pair, mllp_port, sink_port = hospital
    prometheus = Prometheus(tmp_path / "prometheus", pair)
    try:
        wait(prometheus.is_up, pair)
        assert "FerrySinkDown" not in prometheus.firing()
        sender = MllpSender(mllp_port)
        assert code_of(sender.send(adt("0"))) == "AA"
        sender.close()
        wait(lambda: "FerrySinkDown" in prometheus.firing(), pair)
        [told] = [
            one
            for one in prometheus.ask("alerts")["alerts"]
            if one["labels"]["alertname"] == "FerrySinkDown"
        ]
        assert told["labels"]["sink"] == "his"
        sink = CountingSink(sink_port)
        wait(lambda: sink.arrived == [0], pair)
        wait(lambda: "FerrySinkDown" not in prometheus.firing(), pair)
        sink.close()
        assert prometheus.firing() == set()
        every_rule_was_evaluated(prometheus)
    finally:
        prometheus.close()


def every_rule_was_evaluated(prometheus: Prometheus) -> None:
    """Against real metrics, each expression is one that Prometheus can compute."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) == RULES.read_text().count("- alert:")
    assert {rule["health"] for rule in rules} == {"ok"}


def wait(holds: Callable[[], bool], pair: FerryPair, timeout_s: float = 40) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        pair.check_alive()
        assert time.monotonic() < deadline_s, pair.tail()
        time.sleep(0.2)
