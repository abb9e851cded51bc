"""What a worker cannot reach: the network, the user's folder and the user's home; and that it dies with its parent."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.conftest import IMAGES, TINY_WEIGHTS
from tests.evaluation.digits import data_yaml
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError

_PACKAGE_PARENT = Path(__file__).parents[3]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """Runs code as a worker's `work` and gives its result."""

    def run(code, *, python=None, network=False, **arguments):
        (tmp_path / "its_work.py").write_text(textwrap.dedent(code))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path))
        with Worker("its_work", python=python, network=network) as worker:
            worker.start(**arguments)
            return worker.receive()

    return run


_NATIVE = """
import ctypes, errno, subprocess, sys, threading

def _number(function, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    result = getattr(libc, function)(*map(ctypes.c_long, arguments))
    return "made" if result >= 0 else errno.errorcode[ctypes.get_errno()]

def work(*, way, function, arguments):
    if way == "here":
        return _number(function, *arguments)
    if way == "thread":
        found = []
        thread = threading.Thread(target=lambda: found.append(_number(function, *arguments)))
        thread.start()
        thread.join()
        return found[0]
    code = f"import sys; sys.path[:0] = {sys.path!r}; import its_work\\n"
    code += f"print(its_work._number({function!r}, *{arguments!r}))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
"""


@pytest.mark.parametrize("way", ["here", "thread", "program"])
@pytest.mark.parametrize(
    ("function", "arguments", "found"),
    [
        ("socket", (1, 1, 0), "made"),  # AF_UNIX
        ("socket", (16, 3, 0), "made"),  # AF_NETLINK
        ("socket", (2, 1, 0), "EACCES"),  # AF_INET, a stream
        ("socket", (2, 2, 0), "EACCES"),  # a datagram
        ("socket", (10, 1, 0), "EACCES"),  # AF_INET6
        ("socket", (17, 3, 0), "EACCES"),  # AF_PACKET
        ("socket", (40, 1, 0), "EACCES"),  # AF_VSOCK, to the host of a virtual machine
        ("socket", ((1 << 32) + 2, 1, 0), "EACCES"),  # the upper half does not count
        ("syscall", (425, 1, 0), "ENOSYS"),  # io_uring_setup
        ("syscall", (438, 0, 0, 0), "ENOSYS"),  # pidfd_getfd
        ("syscall", ((1 << 30) + 41, 2, 1, 0), "ENOSYS"),  # socket(2) of x32
    ],
)
def test_native_code_reaches_no_network(work, way, function, arguments, found):
    if work("from tftrt_yolo.ground.workers.child import work").startswith("an audit hook"):
        pytest.skip("this kernel neither filters system calls nor has namespaces")
    assert work(_NATIVE, way=way, function=function, arguments=arguments) == found


def test_programs_of_32_bits_reach_no_network_either(work):
    """`int 0x80` is another way into the kernel, where 102 is socketcall and 20 getpid."""
    if os.uname().machine != "x86_64":
        pytest.skip("of x86-64 alone")
    code = """
    import ctypes, mmap

    def work():
        memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        memory.write(bytes.fromhex("b8 14 00 00 00 cd 80 48 98 c3"))  # mov eax, 20; int 0x80; cdqe; ret
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        return ctypes.CFUNCTYPE(ctypes.c_long)(address)()
    """
    assert work(code) == -38  # ENOSYS


@pytest.mark.parametrize(
    "call",
    [
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.socket()",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.gethostbyname('example.org')",
        "__import__('urllib.request').request.urlopen('http://127.0.0.1:9')",
        "__import__('http.client').client.HTTPConnection('127.0.0.1', 9).connect()",
    ],
)
def test_python_says_why(work, call):
    code = f"""
    import socket

    def work():
        try:
            {call}
        except OSError as error:
            return str(error)
    """
    assert "a worker of tftrt_yolo runs without network access" in work(code)


def test_what_needs_no_network_works(work):
    """Processes talk to each other by Unix sockets."""
    code = """
    import multiprocessing, socket

    def _double(number):
        return 2 * number

    def work():
        one, other = socket.socketpair()
        one.sendall(b"a")
        with multiprocessing.get_context("fork").Manager() as manager:
            shared = list(manager.list([other.recv(1)]))
        with multiprocessing.get_context("fork").Pool(2) as pool:
            return shared, pool.map(_double, [1, 2]), socket.has_ipv6
    """
    assert work(code) == ([b"a"], [2, 4], False)


def test_a_namespace_where_calls_cannot_be_filtered(work):
    code = """
    import ctypes, os, socket
    from tftrt_yolo.ground.workers import clean_room

    def work():
        user, group = os.getuid(), os.getgid()
        if not clean_room._leave_network(ctypes.CDLL(None, use_errno=True)):
            return None
        try:
            socket.create_connection(("192.0.2.1", 9), timeout=5)
        except OSError as error:
            return os.getuid() == user, os.getgid() == group, error.strerror, socket.if_nameindex()
    """
    found = work(code, network=True)
    if found is None:
        pytest.skip("this machine allows no namespaces")
    assert found == (True, True, "Network is unreachable", [(1, "lo")])


def test_the_network_stays_open_for_a_download(work):
    code = """
    import os, socket

    def work():
        socket.socket().close()
        return os.environ.get("YOLO_OFFLINE"), os.environ["YOLO_AUTOINSTALL"]
    """
    assert work(code, network=True) == (None, "false")


def test_variables_stop_telemetry_and_installation(work, monkeypatch):
    monkeypatch.setenv("YOLO_AUTOINSTALL", "true")
    monkeypatch.setenv("ULTRALYTICS_SAFE_LOAD", "false")
    found = work(
        "import os, tempfile\n\ndef work():\n    return dict(os.environ), os.getcwd(), tempfile.gettempdir()\n"
    )
    environment, folder, temporary = found
    assert environment["YOLO_AUTOINSTALL"] == "false"
    assert environment["ULTRALYTICS_SAFE_LOAD"] == environment["YOLO_OFFLINE"] == "true"
    assert environment["ORT_DISABLE_TELEMETRY"] == environment["DO_NOT_TRACK"] == environment["PYTHONSAFEPATH"] == "1"
    for name in ("YOLO_CONFIG_DIR", "KERAS_HOME", "TMPDIR"):
        assert Path(environment[name]).parent == Path(folder)
    assert temporary == environment["TMPDIR"]


_CHILDREN = """
import os, signal, sys, time
from tftrt_yolo.ground.workers.worker import Worker

with Worker("endless") as worker:
    worker.start()
    print(worker.receive(), flush=True)
    time.sleep(60)
"""
_ENDLESS = """
import os

def work():
    yield os.getpid()
    while True:  # without a pause in which Python could look at anything
        sum(range(1 << 20))
"""


def test_it_dies_with_its_parent(tmp_path):
    (tmp_path / "endless.py").write_text(_ENDLESS)
    environment = os.environ | {"PYTHONPATH": f"{_PACKAGE_PARENT}{os.pathsep}{tmp_path}", "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _CHILDREN], env=environment, stdout=subprocess.PIPE) as parent:
        worker = int(parent.stdout.readline())
        assert _runs(worker)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 1
        while _runs(worker) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not _runs(worker)


def _runs(process_id):
    """Whether a process is there and no zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process_id}/status").read_text()
    except OSError:
        return False


def test_it_does_not_begin_without_its_parent():
    """Whoever has died before the child could tie itself to it, has closed the results."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = "import sys\nfrom tftrt_yolo.ground.workers import clean_room\n"
    code += "clean_room.enter(int(sys.argv[1]), network=False)\nprint('went on')\n"
    environment = os.environ | {"PYTHONPATH": str(_PACKAGE_PARENT)}
    command = [sys.executable, "-c", code, str(write_end)]
    result = subprocess.run(
        command, pass_fds=(write_end,), env=environment, capture_output=True, text=True, check=False
    )
    os.close(write_end)
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_signals_of_the_terminal_are_the_parents(name, work):
    code = f"""
    import os, signal

    def work():
        os.kill(os.getpid(), signal.{name})
        return "went on"
    """
    assert work(code) == "went on"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("os.kill(os.getpid(), 9)", r"was ended by SIGKILL, as Linux does where memory runs out\. Its last words"),
        ("os.abort()", r"was ended by SIGABRT, a refusal of native code\. Its last words:\n  (?s:.*)last"),
        ("os.kill(os.getpid(), 15)", r"was ended by SIGTERM\. Its last words"),
        ("os.kill(os.getpid(), 40)", r"was ended by signal 40\. Its last words"),
        ("os._exit(7)", r"ended with status 7\. Its last words:\n  (?s:.*)last"),
    ],
)
def test_how_it_ended_is_said(work, code, message):
    with pytest.raises(WorkerCrashedError, match=message):
        work(f"import os\n\ndef work():\n    print('last', flush=True)\n    {code}\n")


def test_its_last_words_do_no_harm(work):
    """They come from libraries, and so from strangers' files: escapes, endless lines, gigabytes."""
    code = r"""
    import sys

    def work():
        for _ in range(1 << 10):
            print("x" * (1 << 16))
        print("\x1b[31mred\u202eder\x9b1m")
        print("y" * 1000, flush=True)
        sys.exit(3)
    """
    with pytest.raises(WorkerCrashedError) as raised:
        work(code)
    text = str(raised.value)
    assert r"\x1b[31mred\u202eder\x9b1m" in text
    assert f"  {'y' * 300} ..." in text
    assert len(text) < 12 * 310 + 100


# Modules that the tools import, and a package; each tells that it was imported, and then does what it can to go on.
_MODULES = ("random", "torch", "re", "sitecustomize", "usercustomize", "numpy", "pickle", "signal", "tensorflow")


def _lay_traps(folder: Path) -> Path:
    """A folder whose modules write a file when they are imported."""
    folder.mkdir()
    canary = folder.with_name("canary")
    trap = f"open({str(canary)!r}, 'a').write(__name__ + ' in ' + repr(__import__('sys').argv) + chr(10))\n"
    for name in _MODULES:
        (folder / f"{name}.py").write_text(trap)
    for name in ("ultralytics", "onnx2tf", "tftrt_yolo"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(trap)
    return canary


def _program(folder: Path) -> Path:
    """The program that pip would write for the entry point; beside it lies nothing."""
    path = folder / "bin" / "tftrt-yolo"
    path.parent.mkdir()
    path.write_text("import sys\nfrom tftrt_yolo.cli.entry import run\nsys.exit(run())\n")
    return path


@pytest.mark.parametrize("paths", ["{package}", "{package}:", ":{package}:relative"])
def test_nothing_of_the_users_folder_runs_in_a_worker(tmp_path, monkeypatch, paths):
    folder = tmp_path / "folder"
    canary = _lay_traps(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", paths.format(package=_PACKAGE_PARENT) + f"{os.pathsep}{folder}")
    monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", os.pathsep)
    for python in (None, sys.executable):
        with Worker("tftrt_yolo.ground.workers.child", python=python) as worker:
            worker.start()
            assert worker.receive()
    assert not canary.exists(), canary.read_text()


def test_nothing_of_the_users_folder_runs_in_a_command(tmp_path):
    """Not in those that load a checkpoint either."""
    pytest.importorskip("torch")
    folder, program = tmp_path / "folder", _program(tmp_path)
    canary = _lay_traps(folder)
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(_PACKAGE_PARENT)

    def run(*arguments):
        command = [sys.executable, program, *map(str, arguments)]
        result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        assert not canary.exists(), canary.read_text()

    weights = folder / TINY_WEIGHTS.name
    weights.write_bytes(TINY_WEIGHTS.read_bytes())
    run("export", f"--weights={weights.name}", "--saved_model_dir=x", "--image_size=64")  # by a relative path
    run("predict", "--saved_model_dir=x", f"--source={IMAGES[0]}", "--output_dir=y")
    data = data_yaml(tmp_path / "data", "detect")
    run("evaluate", "--saved_model_dir=x", f"--data={data}", f"--compare_to={weights.name}", "--output_dir=z")


def test_nothing_of_the_users_folder_runs_with_python_m(tmp_path):
    """But for what Python itself imports before it comes to this package."""
    folder = tmp_path / "folder"
    canary = _lay_traps(folder)
    for name in ("tftrt_yolo", "ultralytics", "onnx2tf"):
        (folder / name / "__init__.py").unlink()
        (folder / name).rmdir()
    environment = os.environ | {"PYTHONPATH": str(_PACKAGE_PARENT)}
    command = [sys.executable, "-m", "tftrt_yolo", "check"]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "closed by" in result.stdout
    assert not canary.exists(), canary.read_text()


@pytest.mark.slow
def test_a_whole_export_makes_no_inet_socket(tmp_path):
    """And writes nothing into the user's home."""
    import shutil

    pytest.importorskip("torch")
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    trace, home = tmp_path / "trace", tmp_path / "home"
    home.mkdir()
    flags = [f"--weights={TINY_WEIGHTS}", f"--saved_model_dir={tmp_path / 'x'}", "--image_size=64"]
    command = ["strace", "-f", "-qq", "-e", "trace=socket,connect", "-o", trace]
    command += [sys.executable, "-m", "tftrt_yolo", "export", *flags]
    subprocess.run(command, env=os.environ | {"HOME": str(home)}, capture_output=True, check=True)
    assert [line for line in trace.read_text().splitlines() if "AF_INET" in line] == []
    assert list(home.rglob("*")) == []
