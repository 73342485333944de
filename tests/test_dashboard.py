"""The ready-made Grafana dashboard: it draws each figure that `/metrics` tells, and none that is not told."""

import json
import re
from typing import Any

import httpx2
import pytest

from server.config import ROOT
from tests.conftest import Postgres, Redis
from tests.pages import served

DASHBOARD: dict[str, Any] = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text("utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def drawn(panel: dict[str, Any]) -> set[str]:
    """The figures that a panel draws."""
    found = {name for target in panel["targets"] for name in re.findall(r"callboard_\w+", target["expr"])}
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


async def test_every_figure_is_drawn_and_no_other(postgres: Postgres, redis_server: Redis) -> None:
    url = postgres.fresh()
    async with served(url, redis_server.fresh()) as clinic, httpx2.AsyncClient() as http:
        text = (await http.get(f"{clinic.url}/metrics")).text
    postgres.drop(url)
    told = set(re.findall(r"^# TYPE (callboard_\w+) (?:counter|gauge|histogram)$", text, re.MULTILINE))
    told = {name for name in told if not name.endswith("_created")}
    assert set().union(*map(drawn, PANELS)) == told


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_draws_something_from_the_chosen_source(panel: dict[str, Any]) -> None:
    assert drawn(panel)
    assert all(target["datasource"]["uid"] == "${source}" for target in panel["targets"])
    assert all(target["expr"].count("(") == target["expr"].count(")") for target in panel["targets"])


def test_no_panel_lies_over_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells
