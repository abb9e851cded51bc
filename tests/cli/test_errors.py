"""How messages name arguments: `overwrite=True` for who calls a function, `--overwrite` for who types a command."""

import dataclasses
import json
import re
import shutil

import pytest

import tftrt_yolo
from tests.conftest import DATA, IMAGES, TINY_WEIGHTS
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.workflows.demo import WEIGHTS

# The parameter that takes each option. What is no field of one of these is an argument of the function itself.
OPTIONS = {
    "convert": {
        "tensorrt": tftrt_yolo.TensorRTOptions,
        "int8": tftrt_yolo.Int8Options,
        "baked": tftrt_yolo.BakedOptions,
    },
    "preflight": {"calibration_data": tftrt_yolo.Int8Options},
    "evaluate": {"data_options": tftrt_yolo.DataOptions},
    "write_onnx": {"options": tftrt_yolo.OnnxOptions},
    "triton": {"batching": tftrt_yolo.BatchingOptions},
    "benchmark": {"options": tftrt_yolo.BenchmarkOptions},
    "predict": {
        "selection": tftrt_yolo.SelectionOptions,
        "source": tftrt_yolo.SourceOptions,
        "output_dir": tftrt_yolo.OutputOptions,
    },
    "batch": {
        "selection": tftrt_yolo.SelectionOptions,
        "source": tftrt_yolo.BatchSourceOptions,
        "output_dir": tftrt_yolo.BatchOutputOptions,
        "workers": tftrt_yolo.WorkerOptions,
    },
    "serve": {
        "models": tftrt_yolo.ModelOptions,
        "batching": tftrt_yolo.BatchingOptions,
        "listen": tftrt_yolo.ListenOptions,
        "observing": tftrt_yolo.ObservingOptions,
        "page": tftrt_yolo.PageOptions,
    },
}
# What each command cannot do without.
NEEDED = {
    "export": {"weights": "nowhere/a.pt", "saved_model_dir": "new"},
    "convert": {"saved_model_dir": "nowhere", "output_saved_model_dir": "new"},
    "predict": {"saved_model_dir": "nowhere", "source": str(IMAGES[0]), "output_dir": "new"},
    "batch": {"saved_model_dir": "nowhere", "source": str(IMAGES[0]), "output_dir": "new"},
    "inspect": {"saved_model_dir": "nowhere"},
    "preflight": {"saved_model_dir": "nowhere"},
    "build_engine": {"saved_model_dir": "nowhere", "engine_path": "new.engine"},
    "extract_engines": {"saved_model_dir": "nowhere", "output_dir": "new"},
    "write_onnx": {"saved_model_dir": "nowhere", "onnx_path": "new.onnx"},
    "check": {},
    "benchmark": {"saved_model_dir": "nowhere", "output_dir": "new"},
    "evaluate": {"saved_model_dir": "nowhere", "data": "nowhere.yaml"},
    "sensitivity": {"saved_model_dir": "nowhere", "calibration_data": str(DATA / "images")},
    "serve": {"saved_model_dir": "nowhere", "http_port": 0, "grpc_port": 0},
    "triton": {"model_repository": "new"},
    "tf_serving": {"saved_model_dir": "nowhere", "base_path": "new"},
    "demo": {"output_dir": "new"},
    "acceptance": {"output_dir": "new"},
}
INT8 = {"precision_mode": "INT8", "calibration_data": str(DATA / "images")}
TAKEN = "<overwrite=True> to replace it"
FOREIGN = "so <overwrite=True> does not delete it"
FOREIGN_FILE = "so <overwrite=True> does not replace it"

# Command, arguments, and part of the message with the arguments' names in <>.
BAD = [
    ("export", {"score_threshold": 2.0}, "<score_threshold> is 2.0; it must be"),
    ("export", {"iou_threshold": -1.0}, "<iou_threshold> is -1.0; it must be"),
    ("export", {"max_detections": 0}, "<max_detections> is 0; it must be"),
    ("export", {"image_size": 0}, "<image_size> is 0; expected"),
    ("export", {"nms": "True"}, "<nms> is 'True'; expected auto, one-to-many or one-to-one. Ultralytics' False is"),
    ("export", {"saved_model_dir": "taken"}, TAKEN),
    ("export", {"saved_model_dir": "foreign"}, FOREIGN),  # nobody is advised what would be refused
    ("export", {"saved_model_dir": "foreign", "overwrite": True}, FOREIGN),
    ("convert", {"accelerator": "cuda"}, "<accelerator> is 'cuda'; known are"),
    ("convert", {"precision_mode": "FP8"}, "<precision_mode> is 'FP8'; with tensorrt known are"),
    ("convert", {"parity_images": "a.jpg"}, "<parity_images> is for xla and onednn"),
    ("convert", {"batch_sizes": (0,), "accelerator": "xla"}, "<batch_sizes> is (0,); expected"),
    (
        "convert",
        {"batch_sizes": (1,), "accelerator": "onednn"},
        "<batch_sizes> is for tensorrt and xla, and <accelerator> is 'onednn'",
    ),
    ("convert", {"minimum_segment_size": 0}, "<minimum_segment_size> is 0; it must be"),
    ("convert", {"max_workspace_size_bytes": 0}, "<max_workspace_size_bytes> is 0; it must be"),
    ("convert", {"batch_sizes": (0,)}, "<batch_sizes> is (0,); expected"),
    ("convert", {"minimum_coverage": 1.5}, "<minimum_coverage> is 1.5; it must be"),
    ("convert", {"dynamic_shape_profile_strategy": "Best"}, "<dynamic_shape_profile_strategy> is 'Best'; known"),
    (
        "convert",
        {"minimum_segment_size": 3, "accelerator": "xla"},
        "<minimum_segment_size> is for tensorrt, and <accelerator> is 'xla'",
    ),
    (
        "convert",
        {"minimum_coverage": 0.95, "allow_build_at_runtime": True, "accelerator": "xla"},
        "are for tensorrt, and <accelerator> is 'xla'",
    ),
    ("convert", {"calibration_data": "a"}, "<calibration_data> is for INT8, and <precision_mode> is FP16"),
    ("convert", {"precision_mode": "INT8"}, "<precision_mode> is INT8, which needs <calibration_data>"),
    ("convert", {**INT8, "calibration": "mean"}, "<calibration> is 'mean'; known are"),
    ("convert", {**INT8, "rounding": "up"}, "<rounding> is 'up'; known are calibrated, nearest"),
    ("convert", {**INT8, "rounding": "nearest", "accelerator": "onednn"}, "<rounding> is for tensorrt, and"),
    ("convert", {**INT8, "rounding": "nearest", "calibration": "tensorrt"}, "with <calibration='tensorrt'> TensorRT"),
    ("convert", {"rounding": "nearest"}, "<rounding> is for INT8, and <precision_mode> is FP16"),
    ("convert", {**INT8, "maximum_map_drop": 0.1}, "<maximum_map_drop> needs <evaluation_data>"),
    ("convert", {**INT8, "maximum_map_drop": 2.0}, "<maximum_map_drop> is 2.0; it must be"),
    ("convert", {**INT8, "maximum_score_shift": -0.1}, "<maximum_score_shift> is -0.1; it must be a number between"),
    ("convert", {**INT8, "evaluation_data": "no.yaml"}, "<evaluation_data> is no.yaml, which does not exist"),
    (
        "convert",
        {**INT8, "calibration": "tensorrt", "calibration_cache_dir": "a"},
        "<calibration_cache_dir> keeps what we measure, and with <calibration='tensorrt'> TF-TRT measures",
    ),
    ("convert", {"float_layers": ("head",)}, "<float_layers> is for INT8, and <precision_mode> is FP16"),
    ("convert", {**INT8, "costliest_layers": 3}, "<costliest_layers> needs <sensitivity_report>"),
    ("convert", {**INT8, "costliest_layers": 0}, "<costliest_layers> is 0; it must be"),
    ("convert", {**INT8, "sensitivity_report": "nowhere"}, "nowhere cannot be read: No such file"),
    (
        "convert",
        {**INT8, "calibration": "tensorrt", "float_layers": ("head",)},
        "<float_layers> names what stays in float, and with <calibration='tensorrt'> TensorRT chooses",
    ),
    ("convert", {"output_saved_model_dir": "nowhere"}, "<output_saved_model_dir> is <saved_model_dir>, nowhere"),
    ("convert", {"output_saved_model_dir": "taken"}, TAKEN),
    ("convert", {"output_saved_model_dir": "foreign", "overwrite": True}, FOREIGN),
    ("predict", {"batch_size": 0}, "<batch_size> is 0; it must be"),
    ("predict", {"score_threshold": 2.0}, "<score_threshold> is 2.0; it must be"),
    ("predict", {"iou_threshold": float("nan")}, "<iou_threshold> is nan; it must be"),
    ("predict", {"max_detections": 100_001}, "<max_detections> is 100,001; it must be at most"),
    ("predict", {"classes": ()}, "<classes> is empty; expected"),
    ("predict", {"save": ("foo",)}, "<save> has 'foo'; expected any of txt, csv, coco, crops, masks, maps."),
    (
        "predict",
        {"save_confidence": True},
        "<save_confidence> is for the form txt, which is not written. Give <save='txt'>",
    ),
    ("predict", {"coco_annotations": "a.json"}, "<coco_annotations> is for the form coco, which is not written"),
    ("predict", {"pictures": False, "line_width": 2}, "<line_width> is for pictures, and <pictures=False> writes none"),
    ("predict", {"devices": ("cuda:0",)}, "<devices> is 'cuda:0'; expected 'CPU', 'GPU', or 'GPU:1' and the like"),
    ("predict", {"source": "-", "devices": ("cpu", "cpu")}, "<devices> names 2, between which files are divided, and"),
    ("predict", {"output_dir": "taken"}, TAKEN),
    ("predict", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("batch", {"form": "csv"}, "<form> is 'csv'; expected one of parquet, jsonl"),
    ("batch", {"shard_size": 0}, "<shard_size> is 0; it must be"),
    ("batch", {"shard_size": 1_000_001}, "<shard_size> is 1,000,001; it must be at most"),
    ("batch", {"batch_size": 0}, "<batch_size> is 0; it must be"),
    ("batch", {"predictors": 0}, "<predictors> is 0; it must be"),
    ("batch", {"num_gpus": 2.0}, "<num_gpus> is 2.0; it must be a number from 0 to 1"),
    ("batch", {"score_threshold": 2.0}, "<score_threshold> is 2.0; it must be"),
    ("batch", {"output_dir": "taken"}, TAKEN),
    ("batch", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("inspect", {}, "nowhere is no directory"),
    ("check", {"fix": True}, "then run `tftrt-yolo check --fix`; or"),  # a command stays one
    ("benchmark", {"contestants": ("pytorch",)}, "<contestants> has 'pytorch'; known are"),
    ("benchmark", {"batch_sizes": (0,)}, "<batch_sizes> is (0,); expected"),
    ("benchmark", {"seconds": 0.0}, "<seconds> is 0.0; it must be"),
    ("benchmark", {"peer_python": "no-python"}, "<peer_python> is no-python, which is no program"),
    ("benchmark", {"output_dir": "taken"}, TAKEN),
    ("benchmark", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("evaluate", {"batch_size": 0}, "<batch_size> is 0; it must be"),
    ("evaluate", {"output_dir": "taken"}, TAKEN),
    ("evaluate", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("build_engine", {"engine_path": "new.plan"}, "<engine_path> is new.plan; expected a name that ends with .engine"),
    (
        "build_engine",
        {"header": False},
        "<engine_path> is new.engine; expected a name that ends with .plan, for a plan without a header",
    ),
    (
        "build_engine",
        {"header": False, "engine_path": "new.plan", "overwrite": True},
        "<overwrite> is given, and with <header=False> there is nothing in a file that says whose it is",
    ),
    ("build_engine", {"engine_path": "foreign.engine"}, FOREIGN_FILE),
    (
        "build_engine",
        {"engine_path": "foreign.engine", "overwrite": True},
        "so <overwrite=True> does not replace it",
    ),
    ("build_engine", {"precision_mode": "FP8"}, "<precision_mode> is 'FP8'; known are"),
    ("build_engine", {"precision_mode": "INT8"}, "<precision_mode> is INT8, which needs <calibration_data>"),
    ("build_engine", {"calibration_data": "a.jpg"}, "<calibration_data> is for INT8, and <precision_mode> is FP16"),
    ("build_engine", {"batch_sizes": (0,)}, "<batch_sizes> is (0,); expected"),
    ("build_engine", {"compute_capability": "9.0"}, "<compute_capability> is '9.0'; TensorRT-RTX"),
    ("extract_engines", {"output_dir": "taken"}, TAKEN),
    ("extract_engines", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("preflight", {"precision_mode": "FP8"}, "<precision_mode> is 'FP8'; known are"),
    ("preflight", {"precision_mode": "INT8"}, "<precision_mode> is INT8, which needs <calibration_data>"),
    ("preflight", {"calibration_data": "a.jpg"}, "<calibration_data> is for INT8, and <precision_mode> is FP16"),
    ("preflight", {"float_layers": ("head",)}, "<float_layers> is for INT8, and <precision_mode> is FP16"),
    ("preflight", {**INT8, "evaluation_data": "a"}, "<evaluation_data> is for `convert`, which measures the INT8"),
    ("preflight", {**INT8, "maximum_score_shift": 0.1}, "<maximum_score_shift> is for `convert`, which measures the"),
    ("preflight", {**INT8, "calibration": "tensorrt"}, "<calibration> is 'tensorrt', and TF-TRT's own calibrator runs"),
    ("preflight", {"batch_sizes": (0,)}, "<batch_sizes> is (0,); expected"),
    ("preflight", {"compute_capability": "9.0"}, "<compute_capability> is '9.0'; TensorRT-RTX"),
    ("preflight", {"output_dir": "taken"}, TAKEN),
    ("preflight", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("sensitivity", {"calibration": "mean"}, "<calibration> is 'mean'; known are"),
    ("sensitivity", {"rounding": "up"}, "<rounding> is 'up'; known are calibrated, nearest"),
    ("sensitivity", {"images": 0}, "<images> is 0; it must be"),
    ("sensitivity", {"output_dir": "taken"}, TAKEN),
    ("sensitivity", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
    ("write_onnx", {}, "nowhere is no directory"),
    ("write_onnx", {"onnx_path": "new.pb"}, "<onnx_path> is new.pb; expected a name that ends with .onnx"),
    ("write_onnx", {"precision_mode": "BF16"}, "<precision_mode> is 'BF16'; known are FP32, FP16, INT8"),
    ("write_onnx", {"precision_mode": "INT8"}, "<precision_mode> is INT8, which needs <calibration_data>"),
    ("write_onnx", {**INT8, "calibration": "mean"}, "<calibration> is 'mean'; known are"),
    ("write_onnx", {**INT8, "calibration": "tensorrt"}, "<calibration> is 'tensorrt', which is TF-TRT's own calib"),
    ("write_onnx", {"calibration": "mse"}, "<calibration> is for INT8, and <precision_mode> is FP32"),
    ("write_onnx", {"calibration_data": "a.jpg"}, "<calibration_data> is for INT8, and <precision_mode> is FP32"),
    ("write_onnx", {"opset": 12}, "<opset> is 12; expected a whole number from 13 to 21"),
    (
        "write_onnx",
        {**INT8, "opset": 18, "float_type": "FP16"},
        "<opset> is 18, which has no quantisations of FP16. Expected 19 or newer; or give <float_type='FP32'>",
    ),
    ("write_onnx", {"float_type": "BF16"}, "<float_type> is 'BF16'; known are FP32, FP16"),
    ("write_onnx", {"float_type": "FP16"}, "<float_type> is FP16, and <precision_mode> is FP32, which says it"),
    ("write_onnx", {"layout": "yolo"}, "<layout> is 'yolo'; known are network, ultralytics"),
    ("write_onnx", {"compute_capability": "8.6"}, "<compute_capability> is for <build=True>, which is not given"),
    ("write_onnx", {"float_layers": ("head",)}, "<float_layers> is for INT8, and <precision_mode> is FP32"),
    ("write_onnx", {"costliest_layers": 0}, "<costliest_layers> is for INT8, and <precision_mode> is FP32"),
    ("write_onnx", {**INT8, "costliest_layers": 3}, "<costliest_layers> needs <sensitivity_report>"),
    ("write_onnx", {**INT8, "sensitivity_report": "nowhere"}, "nowhere cannot be read: No such file"),
    ("write_onnx", {"onnx_path": "foreign.onnx"}, FOREIGN_FILE),
    ("write_onnx", {"onnx_path": "foreign.onnx", "overwrite": True}, "so <overwrite=True> does not replace it"),
    ("tf_serving", {}, "nowhere is no directory"),
    ("tf_serving", {"version": 0}, "<version> is 0; it must be a whole number from 1 to"),
    ("tf_serving", {"batch_sizes": (0,)}, "<batch_sizes> is (0,); expected"),
    ("tf_serving", {"batch_sizes": (65_537,)}, "<batch_sizes> has 65537; expected at most"),
    ("tf_serving", {"base_path": "my digits"}, "<base_path> is my digits, whose name 'my digits' would be the model's"),
    ("tf_serving", {"base_path": "foreign.engine"}, "foreign.engine is a file; expected a directory"),
    ("serve", {}, "nowhere is no directory"),
    ("serve", {"http_port": 65_536}, "<http_port> is 65536; it must be a whole number from 0 to 65535"),
    ("serve", {"grpc_port": -2}, "<grpc_port> is -2; it must be a whole number from -1 to 65535"),
    (
        "serve",
        {"http_port": 9_000, "grpc_port": 9_000},
        "<http_port> and <grpc_port> are both 9000; expected two ports",
    ),
    ("serve", {"host": "no such host"}, "<host> is 'no such host', which is no address"),
    ("serve", {"host": "192.0.2.1"}, "<host> 192.0.2.1 is no address of this machine"),
    ("serve", {"max_body_bytes": 0}, "<max_body_bytes> is 0; it must be"),
    ("serve", {"max_body_bytes": 1 << 31}, "<max_body_bytes> is 2,147,483,648; it must be at most"),
    ("serve", {"backend": "triton"}, "<backend> is 'triton'; expected pytriton, or none"),
    (
        "serve",
        {"backend": "pytriton", "token_file": "foreign.engine"},
        "<token_file> is given, and <backend='pytriton'> has no token. Leave it out",
    ),
    ("serve", {"max_answer_bytes": 0}, "<max_answer_bytes> is 0; it must be"),
    ("serve", {"max_pixels": 0}, "<max_pixels> is 0; it must be"),
    ("serve", {"client_timeout_s": 0.0}, "<client_timeout_s> is 0.0; it must be a number from 0.1 to 86400"),
    ("serve", {"tls_key": "a.pem"}, "<tls_key> was given without <tls_certificate>; expected both, or none"),
    ("serve", {"tls_certificate": "a", "tls_key": "b"}, "<tls_certificate> a cannot be read: No such file"),
    ("serve", {"token_file": "nowhere.txt"}, "<token_file> nowhere.txt cannot be read: No such file"),
    ("serve", {"token_file": "foreign.engine"}, "<token_file> foreign.engine has 5 characters; expected a file with"),
    ("serve", {"page_frames": 0}, "<page_frames> is 0; it must be"),
    ("triton", {"saved_model_dir": "nowhere"}, "nowhere is no directory"),
    (
        "triton",
        {"saved_model_dir": "nowhere", "engine_path": "a.engine"},
        "<saved_model_dir> and <engine_path>: both are given; expected one",
    ),
    ("triton", {}, "<saved_model_dir> and <engine_path>: neither is given; expected one"),
    ("triton", {"engine_path": "a.engine"}, "a.engine cannot be read: No such file"),
    (
        "triton",
        {"saved_model_dir": "nowhere", "signature": "images"},
        "<signature> is 'images'; expected one of serving_default, encoded",
    ),
    ("triton", {"saved_model_dir": "nowhere", "device": "gpu"}, "<device> is 'gpu'; expected one of CPU, GPU"),
    (
        "triton",
        {"engine_path": "a.engine", "max_batch_size": 8},
        "<max_batch_size> is for SavedModels, and an engine has its batches from its profiles",
    ),
    (
        "triton",
        {"engine_path": "a.engine", "signature": "network"},
        "<signature> is for SavedModels, and <engine_path> is given",
    ),
    ("demo", {"output_dir": "demo"}, TAKEN),
    ("acceptance", {"tasks": ("detection",)}, "<tasks> has 'detection'; expected one or more of detect,"),
    ("acceptance", {"precision_modes": ("BF16",)}, "<precision_modes> has 'BF16'; expected one or more of FP32,"),
    ("acceptance", {"seconds": 0.0}, "<seconds> is 0.0; it must be"),
    ("acceptance", {"exports_dir": "nowhere"}, "<exports_dir> is nowhere, which has no detect_saved_model"),
    ("acceptance", {"exports_dir": "nowhere"}, "output; <tasks> names the tasks to try"),
    ("acceptance", {"output_dir": "taken"}, TAKEN),
    ("acceptance", {"output_dir": "foreign", "overwrite": True}, FOREIGN),
]
# The same on an export, where TensorFlow or a process of its own is what complains.
BAD_WITH_A_MODEL = [
    ("convert", {"minimum_segment_size": 100_000}, "lower <minimum_segment_size>"),
    ("predict", {"saved_model_dir": "conversion", "strict": True}, "<strict=False> runs their native segments"),
    ("predict", {"save": ("txt", "masks")}, "<save> has masks, which is for models for segment, and"),
    ("predict", {"save": ("coco",), "coco_annotations": "nowhere.json"}, "nowhere.json cannot be read: No such file"),
    ("predict", {"classes": ("cat",)}, "<classes> has 'cat'; expected indices or names of 0 (0), 1 (1)"),
    ("predict", {"classes": (0, 10)}, "<classes> has 10; expected indices or names of 0 (0), 1 (1)"),
    ("predict", {"tracker": "sort"}, "<tracker> is 'sort'; expected one of bytetrack, botsort, or a YAML"),
    ("predict", {"tracker": "gone.yaml"}, "<tracker> gone.yaml cannot be read: No such file or directory; expected"),
    ("batch", {"classes": ("cat",)}, "<classes> has 'cat'; expected indices or names of 0 (0), 1 (1)"),
    ("benchmark", {"weights": "nowhere.pt"}, "<weights> is nowhere.pt, which is no file"),
    ("benchmark", {"weights": str(WEIGHTS)}, "but <saved_model_dir> was exported from"),
    ("evaluate", {"compare_to": "nowhere.pt"}, "<compare_to> is nowhere.pt, which is no file"),
    ("evaluate", {"images_dir": "a", "data": str(DATA / "detect" / "data.yaml")}, "<images_dir> is a, but"),
    ("evaluate", {"data": "coco.json"}, "<images_dir> is missing. Expected"),
    ("evaluate", {"data": "gone/data.yaml"}, "pass <skip_missing_images=True> to measure on the others"),
    ("evaluate", {"data": "damaged/data.yaml"}, "<skip_unreadable=True> leaves such images out"),
    ("evaluate", {"data": str(DATA / "segment" / "data.yaml")}, "<boxes_only=True> measures on the boxes around"),
]
BAD_IDS = [f"{command}-{'-'.join(arguments) or 'nothing'}" for command, arguments, _ in BAD]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with what is in the way."""
    monkeypatch.chdir(tmp_path)
    for name in ("taken", "foreign", "demo/yolov8n-digits_saved_model"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "foreign" / "notes.txt").touch()
    for name in ("foreign.engine", "foreign.onnx"):
        (tmp_path / name).write_text("notes")
    return tmp_path


def _in_python(command, arguments):
    """Calls the function; returns the message."""
    arguments = NEEDED[command] | arguments
    keywords = {}
    for parameter, kind in OPTIONS.get(command, {}).items():
        names = {field.name for field in dataclasses.fields(kind)} & set(arguments)
        if not kind.is_meant_with({"accelerator": "tensorrt"} | arguments):
            names -= {"batch_sizes"}  # the others' too
        if names:
            keywords[parameter] = (kind, {name: arguments[name] for name in sorted(names)})
            arguments = {name: value for name, value in arguments.items() if name not in names}
    errors = (tftrt_yolo.TftrtYoloError, ValueError, OSError)
    with pytest.raises(errors) as caught:
        getattr(tftrt_yolo, command)(**arguments, **{name: kind(**given) for name, (kind, given) in keywords.items()})
    return str(caught.value)


def _on_the_command_line(command, arguments, capfd):
    """Runs the command; returns the message."""
    flags = []
    for name, value in (NEEDED[command] | arguments).items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        flags.append(f"--{name}={text}")
    capfd.readouterr()
    assert cli.main([command, *flags]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    return captured.err


def _as_flags(text):
    """The part of a message that is expected on the command line."""
    text = re.sub(r"<(\w+)=True>", r"--\1", text)
    text = re.sub(r"<(\w+)=False>", r"--no\1", text)
    return re.sub(r"<(\w+)(=?)'?(\w*)'?>", r"--\1\2\3", text)


def _check_both(command, arguments, expected, capfd):
    in_python = _in_python(command, arguments)
    assert expected.replace("<", "").replace(">", "") in in_python
    assert not re.search(r"(?<![\w-])--\w", re.sub("`[^`]*`", "", in_python)), in_python
    typed = _on_the_command_line(command, arguments, capfd)
    assert typed.startswith(f"tftrt-yolo {command}: ")
    assert _as_flags(expected) in typed
    assert not re.search(r"\w=(True|False)\b", typed), typed


@pytest.mark.parametrize(("command", "arguments", "expected"), BAD, ids=BAD_IDS)
def test_arguments_are_named_as_they_were_given(folder, capfd, command, arguments, expected):
    _check_both(command, arguments, expected, capfd)


def test_every_command_is_in_the_table():
    assert {command for command, _, _ in BAD} == set(cli.COMMANDS)


@pytest.mark.parametrize(("command", "arguments", "expected"), BAD_WITH_A_MODEL)
def test_arguments_are_named_by_whoever_complains(folder, request, capfd, command, arguments, expected):
    if arguments.get("saved_model_dir") == "conversion":
        saved_model_dir = request.getfixturevalue("tiny_conversion")
    else:
        saved_model_dir = request.getfixturevalue("tiny_export")
    (folder / "coco.json").write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    shutil.copytree(DATA / "detect" / "labels", folder / "gone" / "labels")
    (folder / "gone" / "images").mkdir()
    (folder / "gone" / "list.txt").write_text("images/000000.jpg\n")
    yaml = (DATA / "detect" / "data.yaml").read_text()
    (folder / "gone" / "data.yaml").write_text(re.sub("(?m)^val:.*$", "val: list.txt", yaml))
    shutil.copytree(folder / "gone", folder / "damaged")
    (folder / "damaged" / "images" / "000000.jpg").write_bytes(b"")
    _check_both(command, arguments | {"saved_model_dir": str(saved_model_dir)}, expected, capfd)


def test_python_is_told_of_arguments_again_after_a_command(folder, capfd):
    assert cli.main(["export", f"--weights={TINY_WEIGHTS}", "--saved_model_dir=taken"]) == 1
    with pytest.raises(FileExistsError, match="pass overwrite=True"):
        tftrt_yolo.export(TINY_WEIGHTS, "taken")


@pytest.mark.parametrize("as_json", [False, True])
def test_errors_go_to_standard_error(folder, capfd, as_json):
    assert cli.main(["inspect", "nowhere", *(["--json"] if as_json else [])]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("tftrt-yolo inspect: nowhere is no directory")
    assert len(captured.err.splitlines()) == 1
    assert "Traceback" not in captured.err
