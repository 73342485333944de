"""Settings of queues: their defaults, their bounds, and how they are inherited."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import errors
from server.settings import Partial, QueueSettings, changed, effective
from tests.world import World, refused

PARTIALS = st.fixed_dictionaries(
    {},
    optional={
        "order": st.none() | st.sampled_from(["fifo", "urgent_first", "scored"]),
        "max_length": st.none() | st.integers(1, 1000),
        "show_waits": st.none() | st.booleans(),
        "token_prefix": st.none() | st.sampled_from(["", "A", "XYZ"]),
    },
)


def test_a_queue_without_settings_is_the_usual_one() -> None:
    usual = effective()
    assert (usual.order, usual.token_prefix, usual.token_digits) == ("urgent_first", "A", 3)
    assert (usual.max_length, usual.walk_ins_per_day) == (50, 20)
    assert (usual.show_waits, usual.hours, usual.call_next_completes) == (True, "always", True)


@given(PARTIALS, PARTIALS, PARTIALS)
def test_each_setting_comes_from_the_nearest_level_that_has_it(
    institution: dict[str, Any], location: dict[str, Any], queue: dict[str, Any]
) -> None:
    levels = (institution, location, queue)
    stored = [changed({}, Partial.model_validate(level)) for level in levels]
    settings = effective(*stored).model_dump(mode="json")
    for name, default in QueueSettings().model_dump(mode="json").items():
        given = [level[name] for level in levels if level.get(name) is not None]
        assert settings[name] == (given[-1] if given else default)


@given(PARTIALS, PARTIALS)
def test_a_change_touches_what_it_names_and_null_takes_it_away(before: dict[str, Any], change: dict[str, Any]) -> None:
    stored = changed({}, Partial.model_validate(before))
    after = changed(stored, Partial.model_validate(change))
    assert None not in after.values()
    assert after == {name: value for name, value in {**stored, **change}.items() if value is not None}
    assert Partial.model_validate(after).model_dump(mode="json", exclude_unset=True) == after


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": "lifo"},
        {"token_prefix": "abc"},
        {"token_prefix": "ABCD"},
        {"token_digits": 0},
        {"token_digits": 7},
        {"max_length": 0},
        {"max_length": 100_001},
        {"walk_ins_per_day": -1},
        {"show_waits": "yes"},
        {"hours": [{"weekday": 7, "opens": "08:00", "closes": "12:00"}]},
        {"hours": [{"weekday": 0, "opens": "25:00", "closes": "12:00"}]},
        {"hours": "never"},
        {"weights": {"per_minute": 0}},
        {"weights": {"urgent": -1}},
        {"weights": {"luck": 5}},
        {"colour": "green"},
    ],
)
async def test_a_setting_out_of_bounds_is_refused_and_changes_nothing(world: World, wrong: dict[str, Any]) -> None:
    queue = await world.queue()
    refusal = await refused(errors.InvalidRequest, world.do("set-queue-settings", "admin", queue_id=queue, **wrong))
    assert refusal.extra["errors"][0]["pointer"].startswith(f"/{next(iter(wrong))}")
    assert await world.events(f"board:{queue}") == []


async def test_a_doctor_opens_and_pauses_and_leaves_settings_to_the_desk(world: World) -> None:
    queue = await world.queue()
    await world.do("set-queue-state", "doctor", queue_id=queue, state="paused")
    await refused(errors.NotAllowed, world.do("set-queue-settings", "doctor", queue_id=queue, max_length=5))
