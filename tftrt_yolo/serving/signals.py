"""The signals that end a server, taken while it serves.

with taken(came):
    ...                                  # came(number, frame) is called for TERM, INT and HUP
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def taken(came: Callable) -> Iterator[None]:
    """Takes signals that are not ignored; those who took them before do so again afterwards.

    Args:
      came: Handles one, in the main thread; outside of the main thread none is taken.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    handlers = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in handlers:
        signal.signal(number, came)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
