"""Interrupts: INT, TERM and HUP all end a command in the same quiet way, at any moment.

    heed()                   # from here on each raises KeyboardInterrupt in the main thread
    came()                   # whether one did
    rest()                   # from here on they are ignored: the work is done, or all is cleaned up

A second one, while the first unwinds and what is half written is removed, does nothing. One that a library swallowed is
gone, and the next counts again.
"""

import signal
import sys
import types

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECONDS = 0.01
_seen = types.SimpleNamespace(came=False)


def heed() -> None:
    """Raises KeyboardInterrupt for each signal that is not ignored, as HUP is under nohup and INT in the background."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _interrupt)
    sys.unraisablehook, sys.excepthook = _raise_again, _printed_by_c


def came() -> bool:
    """Whether an interrupt came; what fails after it may fail because of it."""
    return _seen.came


def rest() -> None:
    """Ignores interrupts from here on, also when the interpreter takes its handlers back."""
    for number in (*_SIGNALS, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)


def _interrupt(*_) -> None:
    """Handles a signal."""
    _seen.came = True
    if not _is_unwinding():
        raise KeyboardInterrupt


def _is_unwinding() -> bool:
    """Whether an interrupt is dealt with now: whether it, or what it led to, is the exception in hand."""
    error, known = sys.exc_info()[1], []
    while error is not None and error not in known:
        if isinstance(error, KeyboardInterrupt):
            return True
        known.append(error)
        error = error.__context__
    return False


def _raise_again(unraisable) -> None:
    """An interrupt that was raised where nobody can catch it, such as in a `__del__`, comes again in a moment."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    elif not _seen.came:
        sys.__unraisablehook__(unraisable)


def _printed_by_c(kind, error, trace) -> None:
    """As `_raise_again`, for one that native code caught and printed, as NumPy's extensions do while they are imported.

    It is then gone, or goes on as another error: what follows the alarm is the same.
    """
    if issubclass(kind, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)
    else:
        sys.__excepthook__(kind, error, trace)
