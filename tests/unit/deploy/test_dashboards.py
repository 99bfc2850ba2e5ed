"""The dashboards are what their script says, and ask for metrics and labels that exist."""

from __future__ import annotations

import json
import re

import pytest

from deploy.grafana import make_dashboards
from deploy.grafana.panels import EMPTY_WHEN_WELL, Dashboard
from docs.make_metrics import recorded, sample_names
from tests.unit.deploy.test_alerts import METRIC_OR_RECORDED

DASHBOARDS = make_dashboards.DASHBOARDS.items()
LABELS_OF_RECORDED = {"channel", "outcome", "sink", "instance"}


def selectors(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric of an expression that is asked for by labels, and the labels."""
    return [
        (name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)))
        for name, matchers in re.findall(r"([a-z_:0-9]*ferry_[a-z_:0-9]+)\{([^}]*)\}", expression)
    ]


@pytest.mark.parametrize(("name", "dashboard"), DASHBOARDS)
def test_a_file_is_what_the_script_says(name: str, dashboard: Dashboard) -> None:
    written = (make_dashboards.FOLDER / name).read_text(encoding="utf-8")
    assert written == make_dashboards.text(dashboard), (
        "run: python -m deploy.grafana.make_dashboards"
    )


@pytest.mark.parametrize(("name", "dashboard"), DASHBOARDS)
def test_every_metric_and_label_that_is_asked_for_exists(name: str, dashboard: Dashboard) -> None:
    known = sample_names() | {rule["record"]: LABELS_OF_RECORDED for rule in recorded()}
    for row in dashboard.rows:
        for panel in row.panels:
            for query in panel.queries:
                names = set(METRIC_OR_RECORDED.findall(query.expression))
                assert names <= set(known), panel.title
                assert names or "ALERTS" in query.expression, panel.title
                for metric, labels in selectors(query.expression):
                    assert labels <= known[metric], panel.title


@pytest.mark.parametrize(("name", "dashboard"), DASHBOARDS)
def test_panels_do_not_overlap_and_say_where_nothing_is_good(
    name: str, dashboard: Dashboard
) -> None:
    told = json.loads(make_dashboards.text(dashboard))
    taken: set[tuple[int, int]] = set()
    for panel in told["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    ids = [panel["id"] for panel in told["panels"]]
    assert len(set(ids)) == len(ids)
    quiet = {panel.title for row in dashboard.rows for panel in row.panels if panel.empty_when_well}
    assert quiet == {
        panel["title"]
        for panel in told["panels"]
        if EMPTY_WHEN_WELL in panel.get("description", "")
    }
