"""Write the dashboards beside this file: `python -m deploy.grafana.make_dashboards`.

Each side has a Prometheus of its own, so a dashboard shows the half that its data source knows.
"""

from __future__ import annotations

import json
from pathlib import Path

from deploy.grafana.channel import CHANNEL
from deploy.grafana.overview import OVERVIEW
from deploy.grafana.panels import Dashboard, as_json
from deploy.grafana.security import SECURITY

FOLDER = Path(__file__).parent
DASHBOARDS = {"overview.json": OVERVIEW, "channel.json": CHANNEL, "security.json": SECURITY}


def text(dashboard: Dashboard) -> str:
    """A dashboard's file."""
    return json.dumps(as_json(dashboard), indent=2) + "\n"


if __name__ == "__main__":
    for name, dashboard in DASHBOARDS.items():
        (FOLDER / name).write_text(text(dashboard), encoding="utf-8")
