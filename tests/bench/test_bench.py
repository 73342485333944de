"""That the bench runs; what it measures is never asserted."""

import json
from pathlib import Path

import pytest

from tests.bench import __main__ as bench
from tests.bench import bookings, rows


async def test_fan_out_is_measured_for_us_and_for_the_floor() -> None:
    measured = await rows.fan_out(rows.Size(20, 1, 3, 0.1, 5), servers=("ours", "picows"))
    assert [set(row.figures) for row in measured] == [{"ours", "picows"}] * 3
    assert all(row.ratios()["picows"] > 0 for row in measured[:2])


def test_a_peer_that_cannot_run_here_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async def without_node(quick: bool) -> list[rows.Row]:
        assert quick
        return await rows.fan_out(rows.Size(5, 1, 1, 0.1, 1), servers=("ours", "node"))

    monkeypatch.setitem(bench.ROWS, "fan-out-1000", without_node)
    monkeypatch.setattr("tests.bench.harness.shutil.which", lambda _: None)
    assert bench.main(["--quick", "fan-out-1000", "--json", str(tmp_path / "bench.json")]) == 0
    said = capsys.readouterr().out
    assert "| what | ours | node |" in said and "Not measured: Node's Socket.IO: node and npm aren't installed." in said
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told["python"] and "node" in told["rows"][0]["missing"] and told["rows"][0]["figures"]["ours"] > 0


async def test_the_live_queue_is_measured_beside_its_floors() -> None:
    measured = await rows.hot_queue(quick=True)
    assert [len(row.figures) for row in measured] == [2, 2, 2, 3]
    assert all(row.figures["ours"] > 0 for row in measured)


async def test_patient_search_is_measured_beside_its_sql() -> None:
    measured = await rows.patient_search(quick=True)
    assert [set(row.figures) for row in measured] == [{"ours", "the SQL alone"}] * 2


async def test_locks_are_measured_beside_bare_keys() -> None:
    [row] = await rows.slot_locks(quick=True)
    assert set(row.figures) == {"ours", "bare SET NX PX"} and row.figures["ours"] > 0


async def test_slot_search_is_measured_beside_its_sql() -> None:
    measured = await rows.slot_search(quick=True)
    assert [set(row.figures) for row in measured] == [{"ours", "the SQL alone"}] * 2


async def test_notices_are_measured_beside_their_claims_and_requests() -> None:
    [row] = await rows.notices_sent(quick=True)
    assert set(row.figures) == {"ours", "claims and requests"} and row.figures["ours"] > 0


async def test_the_lag_of_reminders_is_measured() -> None:
    [row] = await rows.reminders_due(quick=True)
    assert 0 < row.figures["ours"] < row.figures["a minute"]


async def test_the_fight_for_the_last_seats_is_measured_beside_the_bare_transaction() -> None:
    measured = await rows.last_seats(quick=True)
    assert [set(row.figures) for row in measured] == [{"ours", "the bare transaction"}] * 2


async def test_every_list_is_measured_beside_its_sql() -> None:
    measured = await rows.lists(quick=True)
    assert len(measured) == len(bookings.LISTS)
    assert all(set(row.figures) == {"ours", "the SQL alone"} for row in measured)
