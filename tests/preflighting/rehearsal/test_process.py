"""Programs in a rehearsal: what they are told, how they end, and that nothing is left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tftrt_yolo
from tests.conftest import heed_interrupts
from tftrt_yolo.preflighting.rehearsal import process
from tftrt_yolo.preflighting.stand_in import library

MODULE = "tftrt_yolo.preflighting.rehearsal"
REPOSITORY = Path(tftrt_yolo.__file__).parents[1]


def _rehearse(*command, **options):
    whole = [sys.executable, "-m", MODULE, *command]
    return subprocess.run(whole, capture_output=True, text=True, check=False, **options)


def test_a_program_finds_the_stand_in_first_and_this_package(tmp_path):
    code = (
        "import os, tftrt_yolo; from pathlib import Path; folder, *rest = os.environ['LD_LIBRARY_PATH'].split(':')\n"
        "print(folder); print(sorted(os.listdir(folder)), rest, tftrt_yolo.__file__, end=' ')\n"
        "print(os.environ['TFTRT_YOLO_REHEARSAL'])"
    )
    done = _rehearse(sys.executable, "-c", code, cwd=tmp_path, env=os.environ | {"LD_LIBRARY_PATH": "/opt/cuda/lib::"})
    folder, found = done.stdout.splitlines()
    assert found == f"{sorted(library.TENSORRT_LIBRARIES)} ['/opt/cuda/lib'] {tftrt_yolo.__file__} 1"
    assert not Path(folder).exists()


def test_what_check_says_of_a_rehearsal():
    code = "import tftrt_yolo; machine = tftrt_yolo.check(); print(machine.has_stand_in, machine.loaded_tensorrt); "
    code += "print(machine.engine_runtime); print(machine)"
    done = _rehearse(sys.executable, "-c", code)
    assert done.stdout.splitlines()[:2] == ["True 8.6.1", "stand-in for TensorRT 8.6.1"], done.stderr
    assert "loaded TensorRT             8.6.1: a stand-in of this package, not TensorRT" in done.stdout


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 128 + 9), ("kill -15 $$", 128 + 15)]
)
def test_the_programs_status_is_passed_on(script, status):
    done = _rehearse("/bin/sh", "-c", script)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_program_that_is_not_there():
    done = _rehearse("no-such-program", "--help")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: no-such-program cannot be started (No such file or directory). Expected a")


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["--help"], 0), (["-h"], 0)])
def test_help(arguments, status):
    done = _rehearse(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("Runs a program in a rehearsal")
    assert "the stand-in computes them on the host" in done.stderr


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_program_and_nothing_is_left(tmp_path, name):
    """The signal comes to us alone, as from a supervisor."""
    started = tmp_path / "started"
    script = f"echo $LD_LIBRARY_PATH > {started}; exec sleep 600"
    whole = [sys.executable, "-m", MODULE, "/bin/sh", "-c", script]
    running = subprocess.Popen(whole, preexec_fn=heed_interrupts)
    while not (started.exists() and started.read_text().strip()):
        time.sleep(0.05)
    running.send_signal(name)
    assert running.wait(60) == 128 + name
    assert not Path(started.read_text().strip().split(":")[0]).exists()


def test_an_interrupt_is_the_programs_own(tmp_path):
    """A terminal sends it to both; the program may go on, and we wait for it."""
    started = tmp_path / "started"
    script = f"trap 'echo heard; exit 5' INT; touch {started}; while :; do sleep 0.05; done"
    whole = [sys.executable, "-m", MODULE, "/bin/sh", "-c", script]
    running = subprocess.Popen(whole, preexec_fn=heed_interrupts, start_new_session=True, stdout=subprocess.PIPE)
    while not started.exists():
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    assert running.communicate(timeout=60)[0] == b"heard\n"
    assert running.returncode == 5


def test_pytest_starts_itself_again_in_a_rehearsal():
    """On a machine without a GPU its tests are skipped, with that reason."""
    if tftrt_yolo.check().gpus:
        pytest.skip("a GPU is here, and its tests would run")
    command = [sys.executable, "-m", "pytest", "-m", "tensorrt", "--rehearsal", "-p", "no:cacheprovider"]
    file = "tests/converter/test_engines.py"
    done = subprocess.run([*command, file], capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no TensorRT here: no GPU" in done.stdout
    assert " passed" not in done.stdout


def test_a_process_without_python(tmp_path, stand_in):
    """TensorFlow Serving, say: it is told what is missing, and not left to crash."""
    if not shutil.which("cc"):
        pytest.skip("no C compiler here")
    source = tmp_path / "main.c"
    source.write_text(
        "#include <dlfcn.h>\n"
        "typedef void* (*create)(void*, int);\n"
        "typedef void* (*read)(void*, void const*, unsigned long, void*);\n"
        "int main(int count, char** words) {\n"
        "    void* library = dlopen(words[1], RTLD_NOW);\n"
        '    void** runtime = ((create)dlsym(library, "createInferRuntime_INTERNAL"))(0, 8601);\n'
        "    void** implementation = runtime[1];\n"
        '    return ((read*)*implementation)[2](implementation, "x", 1, 0) != 0;\n'
        "}\n"
    )
    subprocess.run(["cc", "-w", str(source), "-o", str(tmp_path / "main"), "-ldl"], check=True)
    done = subprocess.run(
        [str(tmp_path / "main"), str(stand_in)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {process.REHEARSAL: "1"},
    )
    assert (done.returncode, done.stderr) == (
        70,
        "stand-in for TensorRT: it computes in Python, and this process has none. Rehearse in a Python program\n",
    )


def test_a_python_without_this_package(tmp_path, stand_in):
    """A program that was not started by us: it is told how to start it."""
    code = (
        "import ctypes, sys; sys.path[:] = [path for path in sys.path if 'site-packages' not in path and path]\n"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'editable' not in repr(finder).lower()]\n"
        "library = ctypes.CDLL(sys.argv[1]); library.createInferRuntime_INTERNAL.restype = ctypes.c_void_p\n"
        "words = lambda at: ctypes.c_void_p.from_address(at).value\n"
        "implementation = words(library.createInferRuntime_INTERNAL(None, 8601) + 8)\n"
        "kind = ctypes.CFUNCTYPE(*[ctypes.c_void_p] * 3, ctypes.c_size_t, ctypes.c_void_p)\n"
        "print(kind(words(words(implementation) + 16))(implementation, None, 0, None))\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {process.REHEARSAL: "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(stand_in)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr
    assert "ModuleNotFoundError: No module named 'tftrt_yolo'" in done.stderr
    assert "Start the program by `python -m tftrt_yolo.preflighting.rehearsal`" in done.stderr
