"""Whether a model answers: an inference says so, of a picture that comes with the package.

if await answers(version): ...
"""

import asyncio
import functools
import time

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.ground import assets
from tftrt_yolo.serving.scheduling.inference import Inference
from tftrt_yolo.serving.scheduling.refusals import RefusedError
from tftrt_yolo.serving.scheduling.version import Version

_FRESH_SECONDS = 5.0  # for which an answer of the model proves that it answers
_LEAST_SECONDS, _BATCHES = 5.0, 3.0  # how long it may take, and in batches where these take long
_LOOK_SECONDS = 0.02


async def answers(version: Version) -> bool:
    """Whether a version of a model answers.

    Args:
      version: The version.

    Returns:
      True if something came back from one of its processes in the last seconds, or comes now. A picture goes before
      all that waits, so that a full queue is no reason; a batch that is finished meanwhile is as good.
    """
    if not version.state.is_ready or not version.is_alive:
        return False
    asked = time.monotonic()
    if version.last_answer >= asked - _FRESH_SECONDS:
        return True
    if version.probe is None or version.probe.done():  # one at a time, whoever asks
        version.probe = asyncio.ensure_future(_probe(version))
    limit = asked + _seconds(version)
    while time.monotonic() < limit:
        if version.last_answer >= asked or version.probe.done():
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return version.last_answer >= asked and version.is_alive


def _seconds(version: Version) -> float:
    """How long an answer may take."""
    return max(_LEAST_SECONDS, _BATCHES * version.batch_seconds)


async def _probe(version: Version) -> None:
    """Runs a picture through a model."""
    inputs = {"image_bytes": np.array([_picture()], object)}
    deadline = time.monotonic() + _seconds(version)
    name, number = version.state.name, version.state.version
    try:
        await version.infer(Inference(name, contract.ENCODED, inputs, deadline, number), is_probe=True)
    except RefusedError:  # whoever asked sees that nothing came back
        return


@functools.cache
def _picture() -> bytes:
    """The smallest of the package's pictures."""
    return min((path.read_bytes() for path in assets.pictures()), key=len)
