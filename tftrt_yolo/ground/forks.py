"""Processes that were forked after TensorFlow ran: its threads stayed behind, and who waits for them waits for ever.

forks.check("Predictor")        # before TensorFlow is used; raises in such a process
"""

import os
import sys

from tftrt_yolo.ground.errors import ForkedProcessError


def check(what: str) -> None:
    """Refuses to use TensorFlow in a process that was forked after it ran.

    Args:
      what: What is used, for the message.

    Raises:
      ForkedProcessError: If so.
    """
    if _lost_threads:
        raise ForkedProcessError(
            f"{what} is used in a process that was forked after TensorFlow ran, and TensorFlow's threads do not "
            "survive a fork: the call would never end. Expected a process in which TensorFlow starts anew: start "
            'processes with multiprocessing.get_context("spawn") and load the model in the child, or fork before '
            "anything is loaded."
        )


def _runs() -> bool:
    """Whether TensorFlow was used here; importing it starts no threads yet."""
    context = sys.modules.get("tensorflow.python.eager.context")
    return context is not None and getattr(context.context_safe(), "_context_handle", None) is not None


def _note_fork() -> None:
    """In a child: notes what the parent left it."""
    global _lost_threads
    _lost_threads = _lost_threads or _runs()


def _was_forked_before() -> bool:
    """Whether this is imported in the child of a process in which TensorFlow ran: without its threads."""
    try:
        return _runs() and len(os.listdir("/proc/self/task")) == 1
    except OSError:  # no Linux
        return False


_lost_threads = _was_forked_before()  # in this process
os.register_at_fork(after_in_child=_note_fork)
