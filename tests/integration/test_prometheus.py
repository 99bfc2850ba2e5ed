"""A real Prometheus scrapes a real pair through a fault: the alert comes, and goes again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.grafana.make_dashboards import DASHBOARDS
from tests.fault.killed_pair import CountingSink
from tests.simulator.clients import MllpSender, code_of
from tests.simulator.ferry_pair import Channel, FerryPair, free_port
from tests.simulator.messages import adt
from tests.simulator.monitoring import RULES, SHIPPED, Alertmanager, Prometheus
from tests.simulator.programs import find_program

REFUSED = "Messages refused by the outer, by reason, in an hour"
CONTENT = '[channels.content.hl7v2]\nmessages = ["ADT^A01"]\nsegments = "any"'

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        find_program("prometheus") is None or find_program("prometheus-alertmanager") is None,
        reason="Prometheus or its Alertmanager is not there (make packages)",
    ),
]


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


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    server = Alertmanager(tmp_path / "alertmanager")
    yield server
    server.close()


@pytest.fixture
def prometheus(
    hospital: tuple[FerryPair, int, int], alertmanager: Alertmanager, tmp_path: Path
) -> Iterator[Prometheus]:
    pair = hospital[0]
    targets = {"ferry-outer": pair.outer_metrics_port, "ferry-inner": pair.inner_metrics_port}
    server = Prometheus(tmp_path / "prometheus", targets, alertmanager.port)
    yield server
    server.close()


def test_a_dead_sink_is_told_once_and_so_is_its_return(
    hospital: tuple[FerryPair, int, int], prometheus: Prometheus, alertmanager: Alertmanager
) -> None:
    pair, mllp_port, sink_port = hospital
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
    wait(lambda: ("firing", "FerrySinkDown") in alertmanager.told, pair)
    sink = CountingSink(sink_port)
    wait(lambda: sink.arrived == [0], pair)
    wait(lambda: ("resolved", "FerrySinkDown") in alertmanager.told, pair)
    assert prometheus.firing() == set()
    told_of_it = [status for status, name in alertmanager.told if name == "FerrySinkDown"]
    assert told_of_it == ["firing", "resolved"]
    every_rule_was_evaluated(prometheus)
    every_panel_has_data(prometheus, mllp_port)
    wait(lambda: told_today(pair, "outer")[0]["refused"] == 1, pair)
    crossed, refused = told_today(pair, "outer")
    assert crossed == {"admitted": 2, "repeated": 0, "refused": 1, "deferred": 0}
    assert [one["reason"] for one in refused] == ["message_type_not_allowed"]
    wait(lambda: told_today(pair, "inner")[0]["delivered"] == 2, pair)
    crossed, refused = told_today(pair, "inner")
    assert (crossed["journaled"], crossed["refused"], refused) == (2, 0, [])
    sink.close()


def told_today(pair: FerryPair, side: str) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """What `status` of a side says of the channel's day."""
    command = [sys.executable, "-m", f"{side}_agent", "status", "--json", "--config"]
    told = subprocess.run(
        [*command, str(pair.folder / f"{side}.toml")], capture_output=True, check=False
    )
    today = json.loads(told.stdout)["today"]
    return today["channels"]["adt"], today["refused"]


def every_panel_has_data(prometheus: Prometheus, mllp_port: int) -> None:
    """Each query of each dashboard gives something, unless nothing is the good case."""
    sender = MllpSender(mllp_port)
    assert code_of(sender.send(adt("1"))) == "AA"
    assert code_of(sender.send(adt("2").replace(b"ADT^A01", b"ADT^A08"))) == "AR"
    sender.close()
    panels = [
        panel for dashboard in DASHBOARDS.values() for row in dashboard.rows for panel in row.panels
    ]

    def empty() -> list[str]:
        """Evaluates all of them; a query that Prometheus cannot compute raises."""
        asked = [
            (panel, query, prometheus.query(query.expression.replace("$channel", ".*")))
            for panel in panels
            for query in panel.queries
        ]
        return [
            f"{panel.title}: {query.expression}"
            for panel, query, found in asked
            if not found and (not panel.empty_when_well or panel.title == REFUSED)
        ]

    deadline_s = time.monotonic() + 40
    while missing := empty():
        assert time.monotonic() < deadline_s, missing
        time.sleep(1)


def every_rule_was_evaluated(prometheus: Prometheus) -> None:
    """Against real metrics, each expression is one that Prometheus can compute."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    text = "".join((SHIPPED / name).read_text() for name in RULES)
    assert len(rules) == text.count("- alert:") + text.count("- record:")
    assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []


def wait(holds: Callable[[], bool], pair: FerryPair, timeout_s: float = 40) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        pair.check_alive()
        assert time.monotonic() < deadline_s, pair.tail()
        time.sleep(0.2)
