"""Panels and dashboards as values, and as the JSON that Grafana 10 and later imports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

SCHEMA_VERSION: Final = 39
"""Grafana 10.4's; later versions bring it up to their own when they import it."""

GRID_COLUMNS: Final = 24
EMPTY_WHEN_WELL: Final = "Empty while all is well."

_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_SIZES: Final = {"stat": (4, 4), "timeseries": (12, 8), "table": (24, 6)}


@dataclass(frozen=True, slots=True)
class Query:
    """One expression; `legend` names its lines by their labels."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit` is Grafana's word; `red` colours a figure from there on.

    `empty_when_well`: no data is the good case, and its description says so.
    """

    title: str
    kind: Literal["stat", "timeseries", "table"]
    queries: tuple[Query, ...]
    unit: str = "short"
    description: str = ""
    red: float | None = None
    empty_when_well: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard. `variables` are label names of `variables_of`, to choose from."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[str, ...] = ()
    variables_of: str = ""


def figures(
    title: str, expression: str, unit: str = "short", *, red: float | None = None, about: str = ""
) -> Panel:
    """One figure of one expression."""
    return Panel(title, "stat", (Query(expression),), unit, about, red)


def lines(
    title: str, *queries: Query, unit: str = "short", about: str = "", empty_when_well: bool = False
) -> Panel:
    """Lines over time."""
    return Panel(title, "timeseries", queries, unit, about, empty_when_well=empty_when_well)


def as_json(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["ferry"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *_variables(dashboard)]},
        "panels": list(_panels(dashboard.rows)),
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield _heading(number, row.title, top)
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            number += 1
            width, height = _SIZES[panel.kind]
            if left + width > GRID_COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            yield _panel(number, panel, {"x": left, "y": top, "w": width, "h": height})
            left, tallest = left + width, max(tallest, height)
        top += tallest


def _heading(number: int, title: str, top: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": GRID_COLUMNS, "h": 1}
    return {
        "id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place,
        "panels": [],
    }  # fmt: skip


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    about = [panel.description, EMPTY_WHEN_WELL if panel.empty_when_well else ""]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": " ".join(part for part in about if part),
        "gridPos": place,
        "datasource": _SOURCE,
        "targets": [
            _target(letter, query, panel)
            for letter, query in zip("ABCDEFGH", panel.queries, strict=False)
        ],
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _target(letter: str, query: Query, panel: Panel) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": _SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend or "__auto",
        "instant": panel.kind != "timeseries",
        "range": panel.kind == "timeseries",
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _field(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red is not None:
        # Below one is red where one means well; above it where the figure counts what is wrong.
        low, high = ("red", "green") if panel.unit == "bool_on_off" else ("green", "red")
        steps = [{"color": low, "value": None}, {"color": high, "value": panel.red}]
    return {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": reduced, "colorMode": "background", "textMode": "auto"}
    if panel.kind == "table":
        return {"showHeader": True}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "current": {}, "hide": 0,
    }  # fmt: skip


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    for name in dashboard.variables:
        yield {
            "name": name,
            "label": name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {
                "query": f"label_values({dashboard.variables_of}, {name})",
                "refId": name,
            },
            "refresh": 2,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
            "sort": 1,
        }
