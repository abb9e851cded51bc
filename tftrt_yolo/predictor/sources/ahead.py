"""Work ahead of whoever takes its fruit, in a thread, and never more than a few steps.

for frame in ahead(frames, most=4):
    ...                             # meanwhile the next are decoded
"""

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator

_END = object()
_LOOK_SECONDS = 0.1  # how often a thread that waits looks whether it is still needed


def ahead(items: Iterable, *, most: int) -> Iterator:
    """Takes items in a thread, ahead of the consumer.

    Args:
      items: Anything iterable; where it is a generator, it is closed in the end, in the thread.
      most: At most this many are taken and not yet given.

    Yields:
      The items in order.

    Raises:
      Exception: What the iterable raises, after the items before it.
    """
    waiting, is_over = queue.Queue(most), threading.Event()

    def put(item: object) -> bool:
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                waiting.put(item, timeout=_LOOK_SECONDS)
                return True
        return False

    def work() -> None:
        iterator, last = iter(items), _END
        try:
            for item in iterator:
                if not put((item, None)):
                    break
        except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer gets it
            last = error
        finally:
            with contextlib.suppress(Exception):
                getattr(iterator, "close", lambda: None)()
        put((_END, None if last is _END else last))

    thread = threading.Thread(target=work, name="source", daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield item
    finally:
        is_over.set()
        thread.join(timeout=10)
