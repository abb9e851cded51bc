"""The process that does export's TensorFlow half: ONNX in, SavedModel out.

    with Worker() as worker:                                # starts importing TensorFlow and onnx2tf
        ...                                                 # meanwhile PyTorch writes worker.folder / "trunk.onnx"
        worker.start(Job(...))
        dense = worker.finish()                             # what the saved file computes, for the parity check

onnx2tf has a process of its own because it prints, patches and exits as it likes; the rest of the TensorFlow half is
there too, so that a process which only exports never imports TensorFlow, a second time, beside PyTorch.
"""

import contextlib
import dataclasses
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tftrt_yolo import contract
from tftrt_yolo.errors import ExportError

_PACKAGE_PARENT = Path(__file__).resolve().parents[2]
_DENSE_FILE = "dense.npz"


@dataclasses.dataclass(frozen=True)
class Job:
    """What the process is to do.

    Attributes:
      onnx_path: The trunk, in the worker's folder.
      strides: Pixels per cell of each level of the head.
      reg_max: Bins of the head's box distribution.
      metadata: Goes into the SavedModel.
      saved_model_dir: An empty directory to fill.
      frames: (batch, S, S, 3) float32, to run through the saved file.
    """

    onnx_path: Path
    strides: tuple[int, ...]
    reg_max: int
    metadata: contract.Metadata
    saved_model_dir: Path
    frames: np.ndarray


class Worker:
    """The process, seen from its parent.

    Attributes:
      folder: A temporary folder for the ONNX file; it goes when the context ends.
    """

    def __enter__(self) -> "Worker":
        """Starts the process, which imports what it needs and waits for its job."""
        self._resources = contextlib.ExitStack()
        self.folder = Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="tftrt_yolo_")))
        self._log = self._resources.enter_context(open(self.folder / "log", "w+b"))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tftrt_yolo.exporter.worker"],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(_PACKAGE_PARENT), *filter(None, [os.environ.get("PYTHONPATH")])]),
                "CUDA_VISIBLE_DEVICES": "-1",  # an export needs no GPU and takes none of its memory
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_USE_LEGACY_KERAS": "1",  # onnx2tf imports tf_keras anyway; Keras 3 beside it costs a second
            },
        )
        return self

    def __exit__(self, *_) -> None:
        """Ends the process if it still runs and removes the folder."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._resources.close()

    def start(self, job: Job) -> None:
        """Hands the job over; the process works while the caller goes on."""
        with contextlib.suppress(BrokenPipeError):  # it died early: finish() says why
            pickle.dump(job, self._process.stdin)
            self._process.stdin.close()

    def finish(self) -> dict[str, np.ndarray]:
        """Waits for the SavedModel.

        Returns:
          `boxes` (batch, A, 4) and `scores` (batch, A, C) that the saved file's signature `network` gives for the
          job's frames.

        Raises:
          ExportError: If the process fails; the message ends with the last lines that it printed.
        """
        status = self._process.wait()
        if status or not (self.folder / _DENSE_FILE).is_file():
            self._log.seek(0)
            last_lines = self._log.read().decode(errors="replace").strip().splitlines()[-12:]
            raise ExportError(
                f"The conversion from ONNX to TensorFlow ended with status {status} and wrote no SavedModel. Check with "
                "`tftrt-yolo check` that the export tools are there in the tested versions. Its last words:\n  "
                + "\n  ".join(last_lines)
            )
        with np.load(self.folder / _DENSE_FILE) as dense:
            return dict(dense)


def _refuse_network(event: str, _) -> None:
    """Audit hook: nothing in the conversion needs the network."""
    if event in {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"}:
        raise PermissionError("the conversion runs without network access")


def _main() -> None:
    """Does one job from standard input; without one it ends quietly."""
    sys.addaudithook(_refuse_network)
    import tensorflow as tf

    from tftrt_yolo.exporter import assemble, heads, trunk

    serialized = sys.stdin.buffer.read()
    if not serialized:
        return
    job: Job = pickle.loads(serialized)
    network = trunk.Trunk(job.onnx_path)
    spec = heads.HeadSpec(job.strides, job.reg_max)

    def dense_predictions(frames):
        boxes_xyxy, scores = heads.decode_detect(network(frames), spec)
        return {"boxes": boxes_xyxy, "scores": scores}

    assemble.save(dense_predictions, job.metadata, job.saved_model_dir, tracked=network.variables)

    saved = tf.saved_model.load(str(job.saved_model_dir)).signatures[contract.NETWORK]
    dense = saved(frames=tf.constant(job.frames))
    np.savez(job.onnx_path.with_name(_DENSE_FILE), **{name: value.numpy() for name, value in dense.items()})


if __name__ == "__main__":
    # Under its own name, so that the job's class is the one that the parent pickled.
    from tftrt_yolo.exporter import worker

    worker._main()
