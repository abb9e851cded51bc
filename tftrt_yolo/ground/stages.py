"""What a long command is doing now, by name, for whoever shows it: the terminal does.

stages.enter("writing the SavedModel")            # in the code that does it; costs nothing where nobody listens

with stages.told_to(lambda name: print(name)):    # around a call, in the same thread
    tftrt_yolo.export(...)
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator

from absl import logging

_listener: contextvars.ContextVar[Callable[[str], None] | None] = contextvars.ContextVar("listener", default=None)


def enter(name: str) -> None:
    """Says what is done from now on.

    Args:
      name: A few words, such as "reading the checkpoint".
    """
    logging.info("%s", name)
    listener = _listener.get()
    if listener:
        listener(name)


@contextlib.contextmanager
def told_to(listener: Callable[[str], None]) -> Iterator[None]:
    """Has a function told of each stage that begins within the context, in this thread.

    Args:
      listener: Takes a stage's name.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
