"""YOLOv8 in TensorFlow at TensorRT speed.

One artefact, a SavedModel directory, goes from stage to stage:

    import tftrt_yolo

    tftrt_yolo.export("yolov8n.pt", "yolov8n_saved_model")
    tftrt_yolo.convert("yolov8n_saved_model", "yolov8n_tensorrt_saved_model")
    predictor = tftrt_yolo.Predictor("yolov8n_tensorrt_saved_model")
    [detections] = predictor("bus.jpg")

Importing this package loads neither TensorFlow nor PyTorch: the names below are looked up when they are first used.
"""

import importlib

from tftrt_yolo.ground.version import __version__

_HOME_OF = {
    "export": "exporter.export",
    "ExportReport": "exporter.export_report",
    "convert": "converter.convert",
    "TensorRTOptions": "converter.tensorrt_options",
    "BakedOptions": "converter.baked.baked_options",
    "Int8Options": "converter.int8.int8_options",
    "ConversionReport": "converter.conversion_report",
    "EngineReport": "converter.conversion_report",
    "BakedReport": "converter.conversion_report",
    "preflight": "preflighting.preflight",
    "PreflightReport": "preflighting.preflight_report",
    "build_engine": "engines.build_engine",
    "EngineFileReport": "engines.engine_report",
    "EnginePredictor": "engines.engine_predictor",
    "extract_engines": "engines.extract_engines",
    "ExtractionReport": "engines.engine_report",
    "write_onnx": "onnx_twin.write_onnx",
    "OnnxOptions": "onnx_twin.onnx_options",
    "OnnxReport": "onnx_twin.onnx_report",
    "inspect": "converter.inspect",
    "SavedModelReport": "converter.inspect",
    "sensitivity": "layer_sensitivity.sensitivity",
    "SensitivityReport": "converter.int8.in_float.sensitivity_report",
    "map": "pipelines.map",
    "layer": "pipelines.layer",
    "Predictor": "predictor.predictor",
    "predict": "predictor.predict",
    "PredictionReport": "predictor.prediction_report",
    "CallOptions": "predictor.call_options",
    "annotate": "tasks.annotate",
    "to_dataframe": "tasks.results.data_frame",
    "OutputOptions": "predictor.output.output_options",
    "SelectionOptions": "selection",
    "Tracking": "predictor.tracking.tracking",
    "SourceOptions": "predictor.sources.source_options",
    "Frame": "predictor.sources.frame",
    "VideoInfo": "predictor.sources.frame",
    "check": "ground.environment",
    "Environment": "ground.environment",
    "benchmark": "workflows.benchmark",
    "BenchmarkOptions": "benchmarking.benchmark_options",
    "BenchmarkReport": "benchmarking.results.benchmark_report",
    "evaluate": "evaluation.evaluate",
    "DataOptions": "evaluation.datasets.data_options",
    "EvaluationReport": "evaluation.evaluation_report",
    "serve": "serving.serve",
    "Serving": "serving.serving_report",
    "ServingReport": "serving.serving_report",
    "ModelOptions": "serving.serving_options",
    "BatchingOptions": "serving.serving_options",
    "ListenOptions": "serving.serving_options",
    "ObservingOptions": "serving.serving_options",
    "PageOptions": "serving.page.page_options",
    "batch": "pipelines.batch",
    "BatchReport": "pipelines.batch_report",
    "BatchSourceOptions": "pipelines.ray_data.source_options",
    "BatchOutputOptions": "pipelines.batch_options",
    "WorkerOptions": "pipelines.batch_options",
    "demo": "workflows.demo",
    "DemoReport": "workflows.demo",
    "acceptance": "workflows.acceptance",
    "AcceptanceReport": "workflows.accepting.acceptance_report",
    "triton": "serving.triton",
    "TritonReport": "serving.triton_repository.triton_report",
    "tf_serving": "serving.tf_serving",
    "TfServingReport": "serving.tf_serving",
    "TftrtYoloError": "ground.errors",
    "CheckpointError": "ground.errors",
    "ExportError": "ground.errors",
    "ParityError": "ground.errors",
    "SavedModelError": "ground.errors",
    "ForkedProcessError": "ground.errors",
    "ConversionError": "ground.errors",
    "NotAnExportError": "ground.errors",
    "TensorRTUnavailableError": "ground.errors",
    "PreflightError": "ground.errors",
    "EngineError": "ground.errors",
    "OnnxError": "ground.errors",
    "SensitivityError": "ground.errors",
    "ImageError": "ground.errors",
    "DeviceError": "ground.errors",
    "TrackingError": "ground.errors",
    "BenchmarkError": "ground.errors",
    "DatasetError": "ground.errors",
    "EvaluationError": "ground.errors",
    "AcceptanceError": "ground.errors",
    "ServingError": "ground.errors",
    "BatchError": "ground.errors",
}

__all__ = [*_HOME_OF, "__version__"]


def __getattr__(name: str):
    """Loads a public name from its module the first time that it is used."""
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tftrt_yolo' has no attribute {name!r}; it has {', '.join(__all__)}")
    # Late: of what it imports, `python -m tftrt_yolo` would take the working directory's.
    from tftrt_yolo.ground import chatter

    chatter.heed()
    value = getattr(importlib.import_module(f"tftrt_yolo.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists the public names, loaded or not."""
    return sorted(__all__)
