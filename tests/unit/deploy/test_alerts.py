"""Alerts and recording rules use metrics that exist, and each alert leads to its runbook."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from docs.make_metrics import recorded, sample_names
from tests.simulator.programs import find_program

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
PAGE = "docs/runbooks.md"
OUR_METRIC = re.compile(r"\bferry_[a-z_]+")
METRIC_OR_RECORDED = re.compile(r"(?<![\w:])(?:[a-z_]+:)?ferry_[a-z_]+(?::[a-z0-9_]+)?")
SELECTOR = re.compile(r"(\bferry_[a-z_]+)\{([^}]*)\}")
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def anchors() -> set[str]:
    """The page's anchors, made from headings as GitHub and most viewers make them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / PAGE).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_metric_of_an_alert_exists():
    known = sample_names()
    used = {name for alert in ALERTS for name in OUR_METRIC.findall(alert["expr"])}
    assert used, "no alert names a metric"
    assert used <= set(known)


def test_every_label_of_an_alert_exists():
    known = sample_names()
    for alert in ALERTS:
        for name, matchers in SELECTOR.findall(alert["expr"]):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= known[name], alert["alert"]


def test_a_label_in_a_summary_is_one_of_the_alerts_metrics():
    known = sample_names()
    for alert in ALERTS:
        wanted = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        given = {"instance", "job"}
        for name in OUR_METRIC.findall(alert["expr"]):
            given |= known[name]
        assert wanted <= given, alert["alert"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_its_runbook(alert):
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert page == PAGE
    assert anchor in anchors()
    assert anchor == alert["alert"].lower()
    assert alert["labels"]["severity"] in ("call", "look")


def test_every_runbook_has_its_alert_and_four_parts():
    _, *rest = re.split(r"^### (\w+)$", (ROOT / PAGE).read_text(), flags=re.MULTILINE)
    runbooks = dict(zip(rest[::2], rest[1::2], strict=True))
    assert sorted(runbooks) == sorted(alert["alert"] for alert in ALERTS)
    for name, text in runbooks.items():
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Means", "Look", "Do", "Call"], name


def test_jobs_of_the_scrape_configuration_are_those_that_alerts_name():
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    assert jobs == {"ferry-outer", "ferry-inner"}
    assert configuration["rule_files"] == ["alerts.yml", "recording.yml"]
    named = {
        job
        for alert in ALERTS
        for matcher in re.findall(r'job=~?"([^"]+)"', alert["expr"])
        for job in matcher.split("|")
    }
    assert named == jobs


@pytest.mark.parametrize(
    ("kind", "name"),
    [("rules", "alerts.yml"), ("rules", "recording.yml"), ("config", "prometheus.yml")],
)
def test_prometheus_itself_accepts_the_files(kind, name):
    promtool("check", kind, FOLDER / name)


def test_every_alert_fires_when_it_should_and_only_then():
    promtool("test", "rules", FOLDER / "alerts.test.yml")


def test_every_recording_rule_gives_what_it_should():
    promtool("test", "rules", FOLDER / "recording.test.yml")


def test_every_recording_rule_is_tried():
    tried = (FOLDER / "recording.test.yml").read_text()
    names = [rule["record"] for rule in recorded()]
    assert names
    assert [name for name in names if name not in tried] == []


def test_every_metric_of_a_recording_rule_exists():
    known = set(sample_names()) | {rule["record"] for rule in recorded()}
    for rule in recorded():
        assert set(METRIC_OR_RECORDED.findall(rule["expr"])) <= known, rule["record"]


def test_every_alert_is_tried_firing_and_silent():
    tried = {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert set(cases) == tried


def test_alertmanager_names_alerts_that_exist_and_tells_recoveries():
    configuration = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())
    names = {alert["alert"] for alert in ALERTS}
    matchers = [
        matcher
        for rule in configuration["inhibit_rules"]
        for matcher in rule["source_matchers"] + rule["target_matchers"]
    ]
    named = {name for matcher in matchers for name in re.findall(r"Ferry\w+", matcher)}
    assert named
    assert named <= names
    hooks = [hook for one in configuration["receivers"] for hook in one["webhook_configs"]]
    assert all(hook["send_resolved"] for hook in hooks)


def promtool(*arguments):
    command = find_program("promtool")
    if command is None:
        pytest.skip("promtool is not there (make packages): expressions are not parsed")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
