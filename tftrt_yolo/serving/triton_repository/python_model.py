"""What Triton's Python backend runs: a model of ours behind requests that Triton has put together.

This module is imported by the model.py of a model repository, inside Triton, and nowhere else. Each call of `execute`
is one batch of Triton's: the pictures of all its requests that ask for the same go through the network together. A
picture that cannot be read is said so of in `status`, and fails no other; a request that is wrong fails alone.

Source: https://github.com/triton-inference-server/python_backend
"""

import dataclasses
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tftrt_yolo.ground import chatter
from tftrt_yolo.ground.text import first_line, shown
from tftrt_yolo.selection import SelectionOptions

MODEL_FOLDER = "model.savedmodel"


@dataclasses.dataclass(frozen=True, eq=False)
class _Asked:
    """A request that was checked.

    Attributes:
      index: Its place among those of the batch.
      inputs: Name to array, or to a list of bytes.
      size: Pictures in it.
      selection: Thresholds and classes; None for the model's own.
      outputs: Names of the outputs that are wanted.
    """

    index: int
    inputs: dict[str, np.ndarray | list]
    size: int
    selection: SelectionOptions | None
    outputs: frozenset[str]


class TritonPythonModel:
    """What Triton makes of a model and calls; the names are Triton's."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model and runs it once in every batch size that is warm.

        Args:
          args: Triton's: where the model lies, its configuration and the device.

        Raises:
          TftrtYoloError: If the model is none of ours, or cannot run here; Triton then says so of the model.
        """
        _choose_device(args["model_instance_kind"], args["model_instance_device_id"])
        import triton_python_backend_utils as triton  # there inside Triton alone

        from tftrt_yolo.serving.scheduling.inference import ModelState
        from tftrt_yolo.serving.scheduling.processes import model_process
        from tftrt_yolo.serving.scheduling.processes.job import Job

        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config["parameters"].items()}
        self._triton, self._signature = triton, parameters["signature"]
        self._max_pixels = int(parameters["max_pixels"])
        job = Job(
            saved_model_dir=str(Path(args["model_repository"], args["model_version"], MODEL_FOLDER).resolve()),
            strict=parameters["strict"] == "true",
            allow_side_effects=parameters["allow_side_effects"] == "true",
            max_batch_size=config["max_batch_size"],
            max_pixels=self._max_pixels,
        )
        (self._served, known), self._together = model_process.loaded(job), model_process.together
        known["max_batch_size"] = config["max_batch_size"]  # engines for fewer run a batch in parts
        self._state = ModelState(args["model_name"], int(args["model_version"]), "READY", **known)
        self._axes = {output["name"]: len(output["dims"]) + 1 for output in config["output"]}
        triton.Logger.log_info(f"{args['model_name']}: {self._state.backend}")

    def execute(self, requests: list) -> list:
        """Answers requests.

        Args:
          requests: Triton's, one or more.

        Returns:
          A response for each, in their order.
        """
        responses, groups = [None] * len(requests), defaultdict(list)
        for index, request in enumerate(requests):
            try:
                asked = self._checked(index, request)
            except Exception as error:  # noqa: BLE001 - it fails this request, and no other
                responses[index] = self._failed(error)
            else:
                groups[asked.selection, _shapes(asked.inputs)].append(asked)
        for (selection, _), group in groups.items():
            for asked, response in self._answered(selection, group):
                responses[asked.index] = response
        return responses

    def _checked(self, index: int, request) -> _Asked:
        """A request, compared with what the model takes."""
        from tftrt_yolo.serving.protocol import parameters, requests
        from tftrt_yolo.serving.scheduling import checks
        from tftrt_yolo.serving.scheduling.inference import Inference

        given = json.loads(request.parameters() or "{}")
        parameters.check_known(given)
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        taken = requests.as_taken(self._state.signatures[self._signature], tensors)
        asked = Inference(self._state.name, self._signature, taken, math.inf, selection=parameters.selection_of(given))
        checks.check(asked, self._state, max_pixels=self._max_pixels)
        inputs = {name: value.tolist() if value.dtype == object else value for name, value in taken.items()}
        return _Asked(index, inputs, asked.size, asked.selection, frozenset(request.requested_output_names()))

    def _answered(self, selection: SelectionOptions | None, group: list[_Asked]) -> Iterable[tuple[_Asked, object]]:
        """Responses for requests that go through the network together; where that fails, one by one."""
        try:
            outputs = self._served.run(self._signature, self._together([asked.inputs for asked in group]), selection)
        except Exception as error:  # noqa: BLE001 - whatever it is, no request may go without an answer
            if len(group) == 1:
                return [(group[0], self._failed(error))]
            return [pair for asked in group for pair in self._answered(selection, [asked])]
        ends = np.cumsum([asked.size for asked in group])
        return [(asked, self._response(asked, outputs, end)) for asked, end in zip(group, ends.tolist(), strict=True)]

    def _response(self, asked: _Asked, outputs: dict[str, np.ndarray], end: int):
        """The rows of one request."""
        tensors = []
        for name in sorted(asked.outputs & outputs.keys()):
            rows = outputs[name][end - asked.size : end]
            if rows.ndim < self._axes[name]:  # Triton has no outputs without an axis behind the batch
                rows = rows[..., None]
            tensors.append(self._triton.Tensor(name, np.ascontiguousarray(rows)))
        return self._triton.InferenceResponse(tensors)

    def _failed(self, error: Exception):
        """The response of a request that failed."""
        from tftrt_yolo.serving.scheduling.refusals import RefusedError

        if not isinstance(error, RefusedError):
            self._triton.Logger.log_error(f"{type(error).__name__}: {shown(first_line(error))}")
        message = shown(first_line(error), 1_000)
        kind = (
            self._triton.TritonError.INVALID_ARG
            if isinstance(error, RefusedError)
            else self._triton.TritonError.INTERNAL
        )
        return self._triton.InferenceResponse(error=self._triton.TritonError(message, kind))


def _choose_device(kind: str, device_id: str) -> None:
    """Shows TensorFlow, which is not imported yet, the one GPU that Triton chose for this process, or none."""
    chatter.heed()
    if kind == "GPU":
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(device_id)] if visible else device_id
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"


def _shapes(inputs: dict[str, np.ndarray | list]) -> tuple:
    """What must be the same of requests that go through the network together."""
    return tuple(value.shape[1:] if isinstance(value, np.ndarray) else () for value in inputs.values())
