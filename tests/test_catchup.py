"""Whatever is killed, every board sees every event once, in order. The long form is `python -m tests.chaos`."""

from tests.chaos import storm


async def test_boards_are_exact_after_a_short_storm() -> None:
    result = await storm(boards=12, kills=24, seed=7)
    assert not result.wrong, str(result)
    assert result.connects > result.boards, "the storm cut nobody"
    assert result.presses > 20, "nothing went on meanwhile"
