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


class Values:
    """Looks samples up in a text of metrics, by name and labels."""

    def __init__(self, text):
        self._found = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]

    def __call__(self, name, **labels):
        (value,) = [value for _, found, value in self.samples(name) if found == labels]
        return value

    def samples(self, name):
        return [
            (sample.name, sample.labels, sample.value) for sample in self._found if sample.name == f"tftrt_yolo_{name}"
        ]
