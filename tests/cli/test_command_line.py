import contextlib
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import IMAGES, TINY_WEIGHTS, heed_interrupts
from tftrt_yolo.cli import command_line as cli
from tftrt_yolo.cli.configs import load_config
from tftrt_yolo.cli.signatures import arguments_of


def _run(*arguments, **environment):
    """Runs the command as a user would: a process, TensorFlow's log level not set."""
    env = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"} | environment
    return subprocess.run(
        [sys.executable, "-m", "tftrt_yolo", *map(str, arguments)], capture_output=True, text=True, check=False, env=env
    )


def test_export_convert_inspect_predict(tmp_path):
    """The four commands on real files, and nothing but their reports on the terminal."""
    pytest.importorskip("torch")
    exported, converted, out = (tmp_path / name for name in ("a_saved_model", "b_saved_model", "out"))
    folder = tmp_path / "in"
    folder.mkdir()
    for path in IMAGES[:3]:
        shutil.copy(path, folder)
    commands = [
        ("export", f"--weights={TINY_WEIGHTS}", f"--saved_model_dir={exported}", "--image_size=192,320"),
        ("convert", f"--saved_model_dir={exported}", f"--output_saved_model_dir={converted}", "--batch_sizes=1,4"),
        ("inspect", f"--saved_model_dir={converted}"),
        ("predict", f"--saved_model_dir={converted}", f"--source={folder}", f"--output_dir={out}"),
    ]
    expected = [
        "320 x 192 px; trained at 320, dynamic batch",
        "1 TensorRT engine, FP16",
        "float32 (?, 192, 320, 3)",
        "on 3 images",
    ]
    for command, text in zip(commands, expected, strict=True):
        result = _run(*command)
        assert result.returncode == 0, result.stderr
        assert text in result.stdout
        assert result.stderr.strip() == ""
    assert json.loads((converted / "conversion.json").read_text())["batch_sizes"] == [1, 4]
    assert len((out / "detections.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, ""),
        (("train",), 2, "tftrt-yolo has no command 'train'; known are export, convert"),
        (("export",), 2, "tftrt-yolo export: --weights is missing: A .pt checkpoint"),
        (("demo", "yolov8n.pt"), 2, "'yolov8n.pt' is no flag; write --name=value"),
        (("export", "--wieghts=x"), 2, "Unknown command line flag 'wieghts'. Did you mean --weights"),
        (("convert", "--saved_model_dir=a", "--output_saved_model_dir=b", "--batch_sizes=a"), 2, "not a list of whole"),
        (
            ("convert", "--saved_model_dir=a", "--output_saved_model_dir=b", "--batch_sizes=0"),
            1,
            r"batch_sizes is \(0,\)",
        ),
        (
            ("convert", "--saved_model_dir=a", "--output_saved_model_dir=b", "--precision_mode=INT8"),
            1,
            "INT8, which needs --calibration_data",
        ),
        (("convert", "--saved_model_dir=nowhere", "--output_saved_model_dir=b"), 1, "nowhere is no directory"),
        (("export", "--weights=/nowhere/a.pt", "--saved_model_dir=b"), 1, "/nowhere/a.pt does not exist"),
        (("predict", "--saved_model_dir=nowhere", "--source=a.jpg", "--output_dir=b"), 1, "no file or folder a.jpg"),
        (("export", "--config=nothing.py"), 2, "--config=nothing.py does not exist"),
        (("check", "--fix"), 1, "expected TensorRT 8.6.1"),
    ],
)
def test_errors_are_one_line_without_a_traceback(tmp_path, monkeypatch, capfd, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(list(arguments)) == status
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    assert __import__("re").search(message, captured.err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    [
        *("export", "convert", "preflight", "build_engine", "extract_engines", "predict", "inspect", "check"),
        *("batch", "benchmark", "evaluate", "sensitivity", "serve", "tf_serving", "triton", "demo", "acceptance"),
    ],
)
def test_help_lists_every_argument_with_its_description(capfd, command):
    import inspect

    import tftrt_yolo

    assert cli.main([command, "--help"]) == 0
    text = capfd.readouterr().out
    options = {"tensorrt": "TensorRTOptions", "int8": "Int8Options", "data_options": "DataOptions"}
    options |= {"options": "BenchmarkOptions", "selection": "SelectionOptions", "baked": "BakedOptions"}
    options |= {"source": "SourceOptions", "output_dir": "OutputOptions"} if command == "predict" else {}
    if command == "batch":
        options |= {"source": "BatchSourceOptions", "output_dir": "BatchOutputOptions", "workers": "WorkerOptions"}
    options |= {"models": "ModelOptions", "batching": "BatchingOptions", "listen": "ListenOptions"}
    options |= {"observing": "ObservingOptions", "page": "PageOptions"}
    for name in inspect.signature(getattr(tftrt_yolo, command)).parameters:
        if name in options:
            for field in dataclasses.fields(getattr(tftrt_yolo, options[name])):
                assert f"  --{field.name} (" in text
            is_field = name in {field.name for field in dataclasses.fields(getattr(tftrt_yolo, options[name]))}
            assert (f"  --{name} (" in text) == is_field
        elif not name.startswith("on_"):
            assert f"  --{name} (" in text
    assert "--config" in text
    assert "--json" in text


def test_a_config_gives_flags_and_a_flag_wins(tiny_export, tmp_path):
    base = tmp_path / "base.py"
    base.write_text(
        "from ml_collections import ConfigDict\n"
        "def get_config():\n"
        f"    section = {{'saved_model_dir': {str(tiny_export)!r}, 'precision_mode': 'FP32', 'batch_sizes': (2, 3)}}\n"
        "    return ConfigDict({'convert': section})\n"
    )
    variant = tmp_path / "variant.py"
    variant.write_text(
        "import base\n"
        "def get_config():\n"
        "    config = base.get_config()\n"
        f"    config.convert.output_saved_model_dir = {str(tmp_path / 'b_saved_model')!r}\n"
        "    return config\n"
    )
    result = _run("convert", f"--config={variant}", "--batch_sizes=5")
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "b_saved_model" / "conversion.json").read_text())
    assert document["precision_mode"] == "FP32"
    assert document["batch_sizes"] == [5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def get_config(:", "SyntaxError"),
        ("x = 1", "KeyError: 'get_config'"),
        (
            "from ml_collections import ConfigDict\n"
            "def get_config(): return ConfigDict({'convert': {'precision': 'FP16'}})\n",
            "section 'convert' has 'precision', which is no argument of convert",
        ),
    ],
)
def test_bad_configs(tmp_path, capfd, text, message):
    path = tmp_path / "bad.py"
    path.write_text(text)
    assert cli.main(["convert", f"--config={path}"]) == 2
    assert message in capfd.readouterr().err


def test_the_projects_own_configs_fit(capfd):
    """Every section's keys are arguments of the function that it is for, or of its options."""
    from pathlib import Path

    import tftrt_yolo

    paths = sorted((Path(__file__).parents[2] / "configs").glob("*.py"))
    assert len(paths) >= 2
    for path in paths:
        for section, values in load_config(str(path)).items():
            assert set(values) <= {argument.name for argument in arguments_of(getattr(tftrt_yolo, section))}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_ended_command_leaves_nothing(tiny_export, tmp_path, name):
    """Neither files nor processes."""
    psutil = pytest.importorskip("psutil")
    arguments = [
        f"--saved_model_dir={tiny_export}",
        f"--output_saved_model_dir={tmp_path / 'out'}",
        "--accelerator=xla",
    ]
    command = [sys.executable, "-m", "tftrt_yolo", "convert", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)

    deadline, workers = time.monotonic() + 60, []
    while not (workers and list(tmp_path.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.2)
        with contextlib.suppress(psutil.Error):  # one of them may just have ended
            children = psutil.Process(process.pid).children(recursive=True)
            workers = [child for child in children if any("tftrt_yolo.converter" in a for a in child.cmdline())]
    assert workers
    process.send_signal(getattr(signal, name))
    assert "interrupted; nothing half written is left" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())
    _, alive = psutil.wait_procs(workers, timeout=5)  # ended with their parent, though not before it
    assert alive == []


@pytest.mark.parametrize("command", ["inspect --saved_model_dir={}", "export --help"])
def test_output_into_a_closed_pipe(tiny_export, command):
    command = command.format(tiny_export)
    result = subprocess.run(
        f"{sys.executable} -m tftrt_yolo {command} | head -c 1 | wc -c; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.splitlines()[1] == "0"
    assert result.stderr == ""


@pytest.mark.slow  # test_documents.py walks the same way by README
def test_demo(tmp_path):
    pytest.importorskip("torch")
    result = _run("demo", f"--output_dir={tmp_path / 'demo'}")
    assert result.returncode == 0, result.stderr
    assert "Found 10 objects on 1 image " in result.stdout
    assert result.stderr.strip() == ""
    picture = tmp_path / "demo" / "pictures" / "digits.jpg"
    assert f"The picture: {picture}" in result.stdout
    assert picture.is_file()
