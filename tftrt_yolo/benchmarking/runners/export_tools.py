"""With what an interpreter exports: the versions that an export of Ultralytics' depends on. It imports none of them.

with Worker("tftrt_yolo.benchmarking.runners.export_tools", python=peer_python) as worker:
    worker.start()
    versions = worker.receive()                     # {"python": "3.11.7", "ultralytics": "8.4.190", ...}
"""

import importlib.metadata
import platform

_TOOLS = ("ultralytics", "torch", "onnx", "onnxslim", "onnx2tf", "onnxruntime", "tensorflow", "tf_keras", "numpy")


def work() -> dict[str, str]:
    """Looks at this interpreter.

    Returns:
      Package to version, Python's too; what is missing is left out.
    """
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
