"""The bytes of an engine that the stand-in built, as they lie in a SavedModel's assets: a recording in one piece.

    network = engine_bytes.read(memory)                 # ValueError if they are none of ours, or damaged

They begin with words that say that they are no engine, so that nobody takes them for TensorRT's and TensorRT refuses
them. Then come the weights and network.json, as of a recording on disk.

Source: stand_in/recording.cpp (Header).
"""

import json
import struct
import zlib

import numpy as np

from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork

WORDS = b"tftrt_yolo: recorded by a stand-in for TensorRT, not an engine\n"
_HEADER = struct.Struct("<64sQQII")


def read(memory: memoryview) -> RecordedNetwork:
    """Reads an engine.

    Args:
      memory: Its bytes; the weights stay there.

    Returns:
      Its network.

    Raises:
      ValueError: If the bytes are no engine of the stand-in, are cut short, or were changed.
    """
    if len(memory) < _HEADER.size or bytes(memory[: len(WORDS)]) != WORDS:
        raise ValueError(f"{len(memory)} bytes are given that are no engine of the stand-in; convert the model again")
    _, json_bytes, weights_bytes, checksum, _ = _HEADER.unpack_from(memory)
    if len(memory) != _HEADER.size + json_bytes + weights_bytes:
        raise ValueError(
            f"an engine has {len(memory)} bytes; expected {_HEADER.size + json_bytes + weights_bytes}. It was cut "
            "short or is damaged; convert the model again"
        )
    if zlib.crc32(memory[_HEADER.size :]) != checksum:
        raise ValueError("an engine has another checksum than was written; it is damaged. Convert the model again")
    document = json.loads(bytes(memory[_HEADER.size + weights_bytes :]))
    weights = np.frombuffer(memory, np.uint8, weights_bytes, _HEADER.size)
    named = document | {"engine": recorded_network.engine_of(document), "signature_outputs": {}}
    return recorded_network.parsed(named, weights)
