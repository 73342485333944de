"""When a process that serves looks through all its memory: seldom, and while nothing happens."""

import asyncio
import gc
from typing import Any

import pytest

from server import pauses


class Knot:
    """Something that only a full collection ends."""

    def __init__(self) -> None:
        self.self = self


def knots() -> int:
    return sum(isinstance(one, Knot) for one in gc.get_objects())


def test_it_is_worth_a_pause_when_much_has_come_and_nothing_happens() -> None:
    assert not pauses.due(pauses.WORTH - 1, quiet=True)
    assert pauses.due(pauses.WORTH, quiet=True) and not pauses.due(pauses.WORTH, quiet=False)


def test_in_a_flood_it_is_not_put_off_for_ever() -> None:
    assert pauses.due(pauses.TOO_MUCH, quiet=False)


async def test_what_nobody_uses_is_found_while_nothing_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "LOOK_EVERY", 0.01)
    before, delivered = gc.get_threshold(), 0
    async with pauses.seldom(lambda: delivered):
        assert gc.get_threshold()[:2] == pauses.YOUNG
        kept: list[Any] = [Knot() for _ in range(50)]
        gc.collect(1)
        kept.clear()
        assert knots() == 50
        looks = 0
        while knots() and looks < 500:
            # As much as comes with some thousand sockets.
            kept = [[] for _ in range(50_000)]
            await asyncio.sleep(0.01)
            looks += 1
        assert knots() == 0
    assert gc.get_threshold() == before
