import asyncio

import pytest

from tftrt_yolo.serving.rpc.ordered import in_order


async def numbers(count):
    for number in range(count):
        yield number


def test_answers_come_in_order_and_no_more_than_some_are_asked_for():
    at_once = []

    async def run():
        asked = 0

        async def ask(number):
            nonlocal asked
            asked += 1
            at_once.append(asked)
            await asyncio.sleep(0.001 * (7 - number % 8))  # later ones are done first
            asked -= 1
            return number

        return [answer async for answer in in_order(numbers(40), ask, most=8)]

    assert asyncio.run(run()) == list(range(40))
    assert max(at_once) == 8


def test_who_leaves_takes_back_what_is_asked_for():
    ended = []

    async def run():
        async def ask(number):
            try:
                await asyncio.sleep(60 * number)
            except asyncio.CancelledError:
                ended.append(number)
                raise
            return number

        answers = in_order(numbers(5), ask, most=3)
        assert await anext(answers) == 0
        await asyncio.sleep(0)
        await answers.aclose()

    asyncio.run(run())
    assert ended
    assert set(ended) <= {1, 2, 3}


def test_what_items_and_answers_raise_is_raised():
    async def broken():
        yield 1
        raise ConnectionError("cut")

    async def same(number):
        return number

    async def fail(number):
        raise ValueError(f"not {number}")

    async def take(items, ask):
        return [answer async for answer in in_order(items, ask, most=2)]

    with pytest.raises(ConnectionError, match="cut"):
        asyncio.run(take(broken(), same))
    with pytest.raises(ValueError, match="not 0"):
        asyncio.run(take(numbers(3), fail))
