"""The exceptions a caller may want to catch.

Wrong arguments raise the built-in `ValueError`, `TypeError` and `FileExistsError`; the classes here are for what can go
wrong with files, models and machines although every argument was fine. Each message says what was got, what was
expected and what to do.

    try:
        tftrt_yolo.convert("yolov8n_saved_model", "yolov8n_tensorrt_saved_model")
    except tftrt_yolo.ConversionError as error:
        print(error)
"""


class TftrtYoloError(Exception):
    """Root of this package's own exceptions."""


class CheckpointError(TftrtYoloError):
    """The weights cannot be read, are no YOLO, or belong to a task or head that is not supported."""


class ExportError(TftrtYoloError):
    """A tool of the export chain failed; the message ends with what the tool said."""


class ParityError(TftrtYoloError):
    """The exported SavedModel and the PyTorch model disagree by more than the tolerance."""


class SavedModelError(TftrtYoloError):
    """A directory is no SavedModel of ours, is damaged, disagrees with itself, or has side effects."""


class ForkedProcessError(TftrtYoloError):
    """A model is used in a process that was forked after TensorFlow ran, where it would wait for ever."""


class ConversionError(TftrtYoloError):
    """No engine was made, too much is left to TensorFlow, an engine does not run, or a precision was not taken."""


class NotAnExportError(ConversionError, ValueError):
    """A conversion was given where an export is needed."""


class TensorRTUnavailableError(TftrtYoloError):
    """This TensorFlow or this machine cannot do what was asked with TensorRT."""


class ImageError(TftrtYoloError):
    """An image cannot be read or has a type or shape that is not an image's."""


class DeviceError(TftrtYoloError):
    """The process of a device ended again and again, or cannot be started."""


class TrackingError(TftrtYoloError):
    """What tracking needs is not installed."""


class BenchmarkError(TftrtYoloError):
    """No contestant could be measured, or the file of an earlier benchmark is missing or damaged."""


class DatasetError(TftrtYoloError):
    """A data set is missing, damaged or empty, or does not fit the model: another task, other classes or keypoints."""


class EvaluationError(TftrtYoloError):
    """What an evaluation needs is missing, or the process of the weights to compare with ended."""


class SensitivityError(TftrtYoloError):
    """The images show nothing to compare on, the process ended, or a sensitivity report is missing or damaged."""


class PreflightError(TftrtYoloError):
    """TF-TRT's network could not be recorded, no real builder could be asked, or a recording is missing or damaged."""


class EngineError(TftrtYoloError):
    """An engine of its own cannot be built or opened: damaged, of another TensorRT or GPU, at odds with itself."""


class OnnxError(TftrtYoloError):
    """An ONNX file cannot be written: a tool is missing, an op is not translated, or what reads ONNX refuses it."""


class AcceptanceError(TftrtYoloError):
    """The report of an acceptance is missing or damaged."""


class ServingError(TftrtYoloError):
    """A server cannot start: its extra is not installed, a port is in use, a certificate or a token cannot be used."""


class BatchError(TftrtYoloError):
    """A job cannot run: Ray is missing, nodes differ, or a directory holds another job's output or a damaged one."""
