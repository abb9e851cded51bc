"""What a hub tells observers, and what stands in metrics."""

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from tftrt_yolo.serving.scheduling.inference import Inference, Outcome


def inference_of(size, **changes):
    fields = {"model": "digits", "signature": "encoded", "deadline": 0.0}
    return Inference(**fields | {"inputs": {"image_bytes": np.array([b"x"] * size, object)}} | changes)


def outcome_of(status=None, version=1, **changes):
    outputs = {"scores": np.zeros((2, 3), np.float32)}
    outputs |= {} if status is None else {"status": np.array(status, object)}
    fields = {"batch_size": 4, "queue_seconds": 0.01, "compute_seconds": 0.25}
    return Outcome(outputs, "digits", version, **fields | changes)


def values(text):
    """Looks a sample up in a text of metrics, by its name and its labels."""
    samples = {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }
    return lambda name, **labels: samples[f"tftrt_yolo_{name}", frozenset(labels.items())]
