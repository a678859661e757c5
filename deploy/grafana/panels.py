"""What the dashboards are put together from, as Grafana's classic JSON has it (Grafana 11 and later)."""

import re
from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 39
"""Of Grafana 11; later ones bring it up to date as they read it."""
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
HEIGHT = 8
LOW = 4
GOOD, WARN, BAD = "green", "orange", "red"
TARGET = "Target"
"""Legend of a line that other lines should stay below."""
COLOURS = {"done": GOOD, "failed": BAD, "cancelled": "#8e8e8e", "5xx": BAD, "4xx": WARN, "2xx": GOOD, "delivered": GOOD}
"""The same thing has the same colour everywhere."""


def query(expr: str, legend: str = "", *, instant: bool = False, table: bool = False, heatmap: bool = False) -> Json:
    """One query of a panel; ``instant``: as it is at the end of the time that is shown."""
    found: Json = {
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": _chosen(expr),
        "legendFormat": legend or "__auto",
    }
    found |= {"instant": instant or table, "range": not (instant or table)}
    return found | ({"format": "table"} if table else {"format": "heatmap"} if heatmap else {})


def steps(*later: tuple[float, str], first: str = GOOD) -> Json:
    """Colours by value: the first one, then others from the values on that stand with them."""
    return {
        "mode": "absolute",
        "steps": [{"color": first, "value": None}, *({"color": colour, "value": value} for value, colour in later)],
    }


def panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Json],
    *,
    unit: str,
    width: int,
    height: int = HEIGHT,
    link: str | None = None,
    **other: Any,
) -> Json:
    """A panel without a place: ``dashboard`` gives it one."""
    defaults = {"unit": unit, "color": {"mode": "palette-classic"}, "thresholds": steps(), "mappings": []}
    defaults |= other.pop("defaults", {})
    overrides = other.pop("overrides", [])
    found: Json = {"type": kind, "title": title, "description": description, "datasource": SOURCE}
    found |= {"gridPos": {"h": height, "w": width, "x": 0, "y": 0}}
    found |= {"fieldConfig": {"defaults": defaults, "overrides": overrides}, **other}
    if link:
        found["links"] = [{"title": "More", "url": f"/d/{link}?${{__url_time_range}}", "targetBlank": False}]
    found["targets"] = [{"refId": chr(ord("A") + number), **one} for number, one in enumerate(queries)]
    return found


def stat(title: str, description: str, *queries: Json, unit: str, width: int = 4, **other: Any) -> Json:
    """A number, coloured by what it means."""
    thresholds = other.pop("thresholds", steps())
    defaults = {"color": {"mode": "thresholds"}, "thresholds": thresholds, **other.pop("defaults", {})}
    options = {
        "colorMode": other.pop("coloured", "background_solid"),
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "textMode": other.pop("text", "value"),
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": other.pop("fields", ""), "values": False},
    }
    height = other.pop("height", LOW)
    return panel(
        "stat", title, description, queries, unit=unit, width=width, height=height, defaults=defaults, options=options,
        **other,
    )  # fmt: skip


def lines(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    width: int = 12,
    stacked: bool = False,
    bars: bool = False,
    most: float | None = None,
    limit: float | None = None,
    **other: Any,
) -> Json:
    """Something over time. ``most``: where the axis ends; ``limit``: a line that should not be crossed."""
    custom: Json = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 0 if bars else 1,
        "fillOpacity": 70 if bars else 25 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limit is not None else "off"},
    }
    defaults: Json = {"custom": custom, "min": 0} | ({"max": most} if most is not None else {})
    if limit is not None:
        defaults["thresholds"] = steps((limit, BAD), first="transparent")
    options = {
        "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"], "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if width < 12:
        options["legend"] = {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": True}
    return panel(
        "timeseries", title, description, queries, unit=unit, width=width, defaults=defaults,
        overrides=_coloured({one["legendFormat"] for one in queries}), options=options, **other,
    )  # fmt: skip


def heatmap(title: str, description: str, expr: str, *, width: int = 12) -> Json:
    """How seconds are spread, over time."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": False},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"unit": "s", "axisPlacement": "left"},
    }
    queries = [query(expr, "{{le}}", heatmap=True)]
    return panel("heatmap", title, description, queries, unit="short", width=width, options=options)


def bars(title: str, description: str, one: Json, *, unit: str, width: int = 12, **other: Any) -> Json:
    """The largest of many."""
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "showUnfilled": True,
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    thresholds = other.pop("thresholds", steps())
    colour = {"mode": "thresholds" if len(thresholds["steps"]) > 1 else "continuous-BlPu"}
    defaults = {"min": 0, "color": colour, "thresholds": thresholds, **other.pop("defaults", {})}
    return panel(
        "bargauge", title, description, [one], unit=unit, width=width, defaults=defaults, options=options, **other
    )


def table(
    title: str,
    description: str,
    columns: dict[str, tuple[str, str, str]],
    *,
    labels: dict[str, str],
    width: int = 24,
    sort: str | None = None,
) -> Json:
    """Rows by labels. ``columns``: refId -> title, unit, expression; ``labels``: label -> title."""
    queries = [query(expr, table=True) for _, _, expr in columns.values()]
    values = {f"Value #{ref}" if len(columns) > 1 else "Value": one for ref, one in columns.items()}
    names = labels | {value: name for value, (name, _, _) in values.items()}
    order = {name: number for number, name in enumerate([*labels, *values])}
    organised = {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names}
    transformations: list[Json] = [{"id": "merge", "options": {}}] if len(columns) > 1 else []
    transformations.append({"id": "organize", "options": organised})
    overrides = [_override(name, {"unit": unit}) for name, unit, _ in columns.values()]
    sorting = [{"displayName": sort, "desc": True}] if sort else []
    return panel(
        "table", title, description, queries, unit="short", width=width, overrides=overrides,
        transformations=transformations,
        options={"showHeader": True, "cellHeight": "sm", "sortBy": sorting},
    )  # fmt: skip


def row(title: str) -> Json:
    """A headline."""
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "panels": [],
        "gridPos": {"h": 1, "w": 24, "x": 0, "y": 0},
    }


def choice(name: str, label: str, metric: str, key: str | None = None) -> Json:
    """A variable for the values of a label, all of them at first."""
    asked = f"label_values({metric}, {key or name})"
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "definition": asked,
        "query": {"query": asked, "refId": "Values"}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
        "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "options": [], "hide": 0,
        "regex": "", "skipUrlSync": False,
    }  # fmt: skip


def dashboard(
    uid: str, title: str, description: str, panels: Sequence[Json], *, choices: Sequence[Json] = (), hours: int = 6
) -> Json:
    """A whole one, its panels one beside the other in their order."""
    return {
        "uid": uid, "title": title, "description": description, "tags": ["longhand"], "schemaVersion": SCHEMA_VERSION,
        "version": 1, "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
        "time": {"from": f"now-{hours}h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "weekStart": "",
        "annotations": {"list": _annotations()}, "templating": {"list": [_source(), _namespace(), *choices]},
        "links": [{
            "type": "dashboards", "tags": ["longhand"], "title": "Longhand", "asDropdown": False, "icon": "dashboard",
            "includeVars": False, "keepTime": True, "targetBlank": False, "tooltip": "", "url": "",
        }],
        "panels": _placed(panels),
    }  # fmt: skip


def _placed(panels: Sequence[Json]) -> list[Json]:
    placed, x, y, high = [], 0, 0, 0
    for number, one in enumerate(panels, 1):
        size = one["gridPos"]
        if x + size["w"] > 24:
            x, y, high = 0, y + high, 0
        placed.append({"id": number, **one, "gridPos": {**size, "x": x, "y": y}})
        x, high = x + size["w"], max(high, size["h"])
    return placed


def _source() -> Json:
    current = {"selected": True, "text": "Prometheus", "value": "prometheus"}
    found: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    return found | {"current": current, "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1}


def _namespace() -> Json:
    """Which installation, where Prometheus sees several in Kubernetes; elsewhere there is nothing to choose."""
    return choice("namespace", "Namespace", "longhand_build_info")


def _chosen(expr: str) -> str:
    """An expression over the chosen installations; `.*` also takes series that have no namespace."""
    return re.sub(r"\b(longhand_\w+|ALERTS(?:_FOR_STATE)?)\b(\{)?", _narrowed, expr)


def _narrowed(series: re.Match[str]) -> str:
    return f'{series[1]}{{namespace=~"$namespace"{"," if series[2] else "}"}'


def _annotations() -> list[Json]:
    newer = "longhand_build_info unless on (version) last_over_time(longhand_build_info[1d] offset 2m)"
    firing = 'ALERTS{alertstate="firing",alertname=~"Longhand.*"}'
    return [
        _annotation("Another version", newer, "blue", "Version {{version}} runs"),
        _annotation("Alerts", firing, "red", "{{alertname}} {{queue}}{{stage}}{{part}}{{place}}"),
    ]


def _annotation(name: str, expr: str, colour: str, text: str) -> Json:
    expr = _chosen(expr)
    target = {"expr": expr, "refId": "Anno", "datasource": SOURCE}
    found: Json = {"name": name, "datasource": SOURCE, "enable": True, "hide": False, "iconColor": colour, "expr": expr}
    return found | {"step": "60s", "titleFormat": text, "textFormat": "", "tagKeys": "severity", "target": target}


def _override(name: str, values: dict[str, Any]) -> Json:
    properties = [{"id": key, "value": value} for key, value in values.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def _target() -> Json:
    dashed = {"fill": "dash", "dash": [10, 10]}
    still = {"mode": "none", "group": "A"}
    values = {"color": {"mode": "fixed", "fixedColor": BAD}, "custom.lineStyle": dashed, "custom.fillOpacity": 0}
    return _override(TARGET, {**values, "custom.lineWidth": 2, "custom.stacking": still})


def _coloured(legends: set[str]) -> list[Json]:
    found = [_target()] if TARGET in legends else []
    if not legends.isdisjoint({"{{status}}", "{{outcome}}"}):
        fixed = {name: {"mode": "fixed", "fixedColor": colour} for name, colour in COLOURS.items()}
        found += [_override(name, {"color": colour}) for name, colour in fixed.items()]
    return found
