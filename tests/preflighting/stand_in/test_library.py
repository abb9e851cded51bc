"""The stand-in's library: compiled with whatever is there, kept, and never in TensorRT's place for anybody else."""

import ctypes
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tftrt_yolo
from tftrt_yolo.ground.environment import STAND_IN_MARK
from tftrt_yolo.preflighting.rehearsal import process
from tftrt_yolo.preflighting.stand_in import library

HOST_COMPILERS = [name for name in ("c++", "g++", "clang++") if shutil.which(name)]


@pytest.fixture
def no_compiler(tmp_path, monkeypatch):
    """A PATH without any compiler; ziglang, which needs none, is left."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CXX", raising=False)
    return folder


@pytest.fixture
def opened(tmp_path):
    """The library as a file that can be opened."""
    path = tmp_path / "opened.so"
    path.write_bytes(library.built())
    return path


def _symbols(compiled, folder):
    """What the library offers to the process that opens it."""
    code = (
        "import ctypes, sys\n"
        "opened = ctypes.CDLL(sys.argv[1])\n"
        "names = 'createInferBuilder_INTERNAL createInferRuntime_INTERNAL getInferLibVersion getPluginRegistry '\n"
        "names += 'initLibNvInferPlugins tftrt_yolo_stand_in'\n"
        "print([hasattr(opened, name) for name in names.split()], opened.getInferLibVersion())\n"
    )
    path = folder / "symbols.so"
    path.write_bytes(compiled)
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("compiler", [*HOST_COMPILERS, "ziglang"])
def test_every_compiler_builds_it(tmp_path, monkeypatch, no_compiler, compiler):
    if compiler != "ziglang":
        monkeypatch.setenv("PATH", os.defpath)
        monkeypatch.setenv("CXX", f"{compiler} -Wall")
    compiled = library.built(tmp_path / "cache")
    # Outside a recording and a rehearsal it passes for no TensorRT: TensorFlow compares the version with 8.6.1.
    assert _symbols(compiled, tmp_path) == f"{[True] * 6} 0"
    with monkeypatch.context() as recording:
        recording.setenv(library.RECORDING_DIR, str(tmp_path))
        assert _symbols(compiled, tmp_path) == f"{[True] * 6} 8601"
    for value, version in (("1", 8601), ("0", 0)):
        monkeypatch.setenv(process.REHEARSAL, value)
        assert _symbols(compiled, tmp_path) == f"{[True] * 6} {version}"


def test_it_is_compiled_once(tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    first = library.built(cache)
    [path] = (cache / "stand_in").iterdir()  # and nothing else is left
    made = path.stat().st_mtime_ns
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.built(cache) == first
    assert path.stat().st_mtime_ns == made


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-100]), id="cut"),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
        pytest.param(lambda path: path.write_bytes(b"x" * 64), id="a digest alone"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-64] + b"0" * 64), id="another digest"),
        pytest.param(lambda path: path.write_bytes(b"\0" + path.read_bytes()[1:]), id="a byte"),
        pytest.param(lambda path: path.unlink(), id="gone"),
    ],
)
def test_a_damaged_cache_is_made_again(tmp_path, caplog, damage):
    compiled = library.built(tmp_path / "cache")
    [path] = (tmp_path / "cache" / "stand_in").iterdir()
    damage(path)
    is_damaged = path.exists()
    assert len(library.built(tmp_path / "cache")) == len(compiled)
    assert library._kept(path) is not None
    assert any("is damaged and is compiled again" in record.getMessage() for record in caplog.records) == is_damaged


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_folder_that_others_can_write_is_not_loaded_from(tmp_path, mode):
    folder = tmp_path / "stand_in"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(tftrt_yolo.PreflightError, match=r"can be written by others .*mode d.*chmod go-w it"):
        library.built(tmp_path)
    assert not list(folder.iterdir())


def test_processes_that_compile_at_once(tmp_path):
    code = "import sys; from pathlib import Path; from tftrt_yolo.preflighting.stand_in import library; "
    code += "print(len(library.built(Path(sys.argv[1]))))"
    command = [sys.executable, "-c", code, str(tmp_path / "cache")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    sizes = {process.communicate()[0] for process in started}
    assert len(sizes) == 1
    assert [process.returncode for process in started] == [0] * 4
    [path] = (tmp_path / "cache" / "stand_in").iterdir()
    assert library._kept(path) is not None


def test_a_compiler_that_is_interrupted_leaves_nothing(tmp_path, no_compiler):
    """Its own children end with it, and its files were in our folder."""
    slow = no_compiler / "c++"
    slow.write_text(f"#!/bin/sh\n/bin/sleep 600 & echo $! > {tmp_path}/child; /bin/touch $TMPDIR/cc.s; wait\n")
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    code = "import signal, sys; from pathlib import Path; from tftrt_yolo.preflighting.stand_in import library; "
    code += "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell's background has it ignored
    code += "library.built(Path(sys.argv[1]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "cache")], stderr=subprocess.DEVNULL)
    child = tmp_path / "child"
    while not (child.exists() and child.read_text().strip()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert not list((tmp_path / "cache" / "stand_in").iterdir())
    state = Path(f"/proc/{child.read_text().strip()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_another_source_is_another_file(tmp_path, monkeypatch):
    before = library._key()
    sources = tmp_path / "sources"
    shutil.copytree(library._SOURCES, sources)
    (sources / "builder.cpp").write_text((sources / "builder.cpp").read_text() + "\n// changed\n")
    monkeypatch.setattr(library, "_SOURCES", sources)
    assert library._key() != before


def test_no_compiler_at_all(tmp_path, no_compiler, monkeypatch):
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(
        tftrt_yolo.PreflightError,
        match=re.escape(
            "No compiler could build the stand-in for TensorRT. Install one, which `pip install "
            "'tftrt_yolo[preflight]'` does. Tried:\n  c++, g++, clang++ and ziglang are not there"
        ),
    ):
        library.built(tmp_path / "cache")
    assert not list((tmp_path / "cache" / "stand_in").iterdir())


def test_a_compiler_that_fails_is_quoted_and_the_next_is_tried(tmp_path, no_compiler, monkeypatch):
    for name, script in {"c++": "echo 'no such option' >&2; exit 1", "g++": "exit 0"}.items():
        path = no_compiler / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    assert library.built(tmp_path / "cache")  # ziglang has built it
    monkeypatch.setitem(sys.modules, "ziglang", None)
    with pytest.raises(tftrt_yolo.PreflightError, match=r"c\+\+ .*: no such option\n  .*g\+\+ .*: status 0"):
        library.built(tmp_path / "other")


def test_a_named_compiler_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(tftrt_yolo.PreflightError, match=r"CXX names no-such-compiler, which is not there\. Name"):
        library.built(tmp_path / "cache")


def test_no_place_for_it(tmp_path, monkeypatch):
    place = tmp_path / "file"
    place.write_text("in the way")
    with pytest.raises(tftrt_yolo.PreflightError, match=r"cannot be kept in .*file.* set XDG_CACHE_HOME"):
        library.built(place / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "nowhere")
    with pytest.raises(tftrt_yolo.PreflightError, match="no home directory to keep the stand-in"):
        library.built()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full device")
def test_a_full_disk(tmp_path, monkeypatch):
    """The compiler itself says what is wrong."""
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=16k", "none", str(tmp_path)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("cannot mount a small file system here")
    try:
        with pytest.raises(tftrt_yolo.PreflightError, match=r"No space left on device.*Free some space there"):
            library.built(tmp_path)
        assert not list((tmp_path / "stand_in").iterdir())
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_the_environment_of_a_recording(tmp_path, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/tensorrt/lib::/usr/lib")
    links = tmp_path / "links"
    links.mkdir()
    environment = library.environment_for(library.built(), links, tmp_path / "recording")
    assert environment["LD_LIBRARY_PATH"] == f"{links}:/opt/tensorrt/lib:/usr/lib"
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert {path.name for path in links.iterdir()} == set(library.TENSORRT_LIBRARIES)


def test_a_users_own_tensorflow_does_not_find_it(tmp_path):
    """Not even with the cache on its search path: there the file has a name that nobody opens."""
    library.built(tmp_path)
    code = "import tftrt_yolo; print(tftrt_yolo.check().loaded_tensorrt)"
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path / "stand_in")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "None"


def test_under_tensorrts_name_it_passes_for_no_tensorrt(tmp_path):
    """Someone links it by hand: TensorFlow is told version 0, and the check that it is none."""
    library.environment_for(library.built(), tmp_path, tmp_path)
    code = (
        "import tftrt_yolo; machine = tftrt_yolo.check(); print(machine.can_build_engines, machine.loaded_tensorrt)\n"
        "print(machine.why_no_engines)"
    )
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.stdout.splitlines()[0] == "False 0.0.0", done.stdout + done.stderr
    assert "0.0.0" in done.stdout.splitlines()[1]


def test_outside_a_rehearsal_it_runs_no_engine(opened):
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).createInferRuntime_INTERNAL(None, 8601)"
    done = subprocess.run([sys.executable, "-c", code, str(opened)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (70, "stand-in for TensorRT: it runs engines only in a rehearsal\n")


def test_a_slot_that_is_not_there_names_itself(opened):
    """Called through the builder's own table, as TF-TRT would: slot 17 is buildSerializedNetwork."""
    code = (
        "import ctypes, sys\n"
        "library = ctypes.CDLL(sys.argv[1])\n"
        "library.createInferBuilder_INTERNAL.restype = ctypes.c_void_p\n"
        "shell = library.createInferBuilder_INTERNAL(None, 8601)\n"
        "words = lambda at, count: (ctypes.c_void_p * count).from_address(at)\n"
        "implementation = words(shell, 2)[1]\n"
        "table = words(implementation, 1)[0]\n"
        "ctypes.CFUNCTYPE(None, ctypes.c_void_p)(words(table, 23)[17])(implementation)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(opened)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        70,
        "stand-in for TensorRT: TF-TRT calls IBuilder::buildSerializedNetwork\n",
    )


@pytest.mark.parametrize("what", ["Builder", "Runtime"])
def test_another_version_of_tensorflow_is_refused(opened, what):
    code = f"import ctypes, sys; ctypes.CDLL(sys.argv[1]).createInfer{what}_INTERNAL(None, 8502)"
    done = subprocess.run([sys.executable, "-c", code, str(opened)], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert "built against another TensorRT than 8.6.1" in done.stderr


def test_ctypes_finds_the_mark(opened):
    assert hasattr(ctypes.CDLL(str(opened)), STAND_IN_MARK)
