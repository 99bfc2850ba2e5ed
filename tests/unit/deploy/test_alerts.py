"""The alerts watch metrics that exist, and each leads to a section that says what to do."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry

from inner_agent.replayer_metrics import ReplayerMetrics
from inner_agent.verifier_metrics import VerifierMetrics
from outer_agent.metrics import OuterMetrics
from tests.simulator.programs import find_program

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "prometheus"
PAGE = "docs/operating.md"
OUR_METRIC = re.compile(r"\bferry_[a-z_]+")
SELECTOR = re.compile(r"(\bferry_[a-z_]+)\{([^}]*)\}")
ALERTS = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


def exported() -> dict[str, set[str]]:
    """Every sample name that the agents' registries can show, with its labels."""
    registry = CollectorRegistry()
    names: dict[str, set[str]] = {}
    for metrics in (OuterMetrics(registry), VerifierMetrics(registry), ReplayerMetrics(registry)):
        for metric in vars(metrics).values():
            if metric is registry:
                continue
            for described in metric.describe():
                suffixes = {
                    "counter": ("_total",),
                    "histogram": ("_bucket", "_sum", "_count"),
                }.get(described.type, ("",))
                for suffix in suffixes:
                    names[described.name + suffix] = set(metric._labelnames)
    return names


def anchors() -> set[str]:
    """The page's anchors, made from headings as GitHub and most viewers make them."""
    headings = re.findall(r"^#+ (.+)$", (ROOT / PAGE).read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_metric_of_an_alert_exists():
    known = exported()
    used = {name for alert in ALERTS for name in OUR_METRIC.findall(alert["expr"])}
    assert used, "no alert names a metric"
    assert used <= set(known)


def test_every_label_of_an_alert_exists():
    known = exported()
    for alert in ALERTS:
        for name, matchers in SELECTOR.findall(alert["expr"]):
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert labels <= known[name], alert["alert"]


def test_a_label_in_a_summary_is_one_of_the_alerts_metrics():
    known = exported()
    for alert in ALERTS:
        wanted = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
        given = {"instance", "job"}
        for name in OUR_METRIC.findall(alert["expr"]):
            given |= known[name]
        assert wanted <= given, alert["alert"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_its_section_in_the_operating_page(alert):
    page, _, anchor = alert["annotations"]["runbook"].partition("#")
    assert page == PAGE
    assert anchor in anchors()
    assert anchor == alert["alert"].lower()
    assert alert["labels"]["severity"] in ("call", "look")


def test_every_alert_section_has_its_alert():
    section = (ROOT / PAGE).read_text().partition("\n## Alerts\n")[2].partition("\n## ")[0]
    headings = re.findall(r"^### (\w+)$", section, re.MULTILINE)
    assert sorted(headings) == sorted(alert["alert"] for alert in ALERTS)


def test_jobs_of_the_scrape_configuration_are_those_that_alerts_name():
    configuration = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    assert jobs == {"ferry-outer", "ferry-inner"}
    assert configuration["rule_files"] == ["alerts.yml"]
    named = {
        job
        for alert in ALERTS
        for matcher in re.findall(r'job=~?"([^"]+)"', alert["expr"])
        for job in matcher.split("|")
    }
    assert named == jobs


@pytest.mark.parametrize(("kind", "name"), [("rules", "alerts.yml"), ("config", "prometheus.yml")])
def test_prometheus_itself_accepts_the_files(kind, name):
    promtool("check", kind, FOLDER / name)


def test_every_alert_fires_when_it_should_and_only_then():
    promtool("test", "rules", FOLDER / "alerts.test.yml")


def test_every_alert_is_tried_firing_and_silent():
    tried = {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}
    cases = [
        (case["alertname"], bool(case["exp_alerts"]))
        for test in yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert set(cases) == tried


def promtool(*arguments):
    command = find_program("promtool")
    if command is None:
        pytest.skip("promtool is not there (make packages): expressions are not parsed")
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
