"""Many at once, in order: for a stream whose answers come as its requests did.

async for answer in in_order(requests, ask, most=64):
    ...
"""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def in_order(
    items: AsyncIterable[Item], ask: Callable[[Item], Awaitable[Answer]], most: int
) -> AsyncIterator[Answer]:
    """Asks for each item at once, and gives the answers in the items' order.

    Args:
      items: Any number; no more are taken while `most` are asked for and not given on.
      ask: Gives the answer to one.
      most: At least 1.

    Yields:
      The answers. When the caller leaves, what is asked for is cancelled.
    """
    free, asked = asyncio.Semaphore(most), asyncio.Queue()

    async def take() -> None:
        try:
            async for item in items:
                await free.acquire()
                asked.put_nowait(asyncio.ensure_future(ask(item)))
        finally:
            asked.put_nowait(None)

    taking = asyncio.ensure_future(take())
    answering = None
    try:
        while (answering := await asked.get()) is not None:
            yield await answering
            free.release()
        await taking  # raises what taking them raised
    finally:
        await _cancelled([taking, answering, *_left(asked)])


def _left(queue: asyncio.Queue) -> list:
    """What is in a queue."""
    return [queue.get_nowait() for _ in range(queue.qsize())]


async def _cancelled(tasks: list[asyncio.Future | None]) -> None:
    """Cancels tasks and waits for their ends."""
    tasks = [task for task in tasks if task is not None]
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
