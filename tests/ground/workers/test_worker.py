import errno
import os
import pickle
import signal
import sys
import time

import pytest

from tftrt_yolo.ground import errors
from tftrt_yolo.ground.workers.worker import Worker, WorkerCrashedError


def test_a_result_of_a_class_that_only_the_child_knows(tmp_path, monkeypatch):
    """PyTorch's version is such a one: a str of a class of torch's, which the parent may not have."""
    (tmp_path / "only_there.py").write_text(
        "class Version(str):\n    pass\n\n\ndef work():\n    return {'version': Version('2.11')}\n"
    )
    monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path))
    with Worker("only_there", python=sys.executable) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError, match=r"gave a result with a 'only_there\.Version' in it\. Taken are"):
            worker.receive()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Takes code, and gives the name of a module that a worker can import."""

    def write(code):
        (tmp_path / "its_work.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
        return "its_work"

    return write


# A signal that comes while a pipe is full makes a write end early; the alarm sends one twenty times a second.
_ALARM = """
import signal, time
signal.signal(signal.SIGALRM, lambda *_: None)
"""
_LARGE = bytes(range(256)) * (1 << 15)  # 8 MiB; a pipe holds 64 KiB


def test_a_large_result_arrives_whole_although_its_reader_is_slow(module):
    code = f"{_ALARM}\ndef work(*, data):\n    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)\n"
    code += "    for number in range(3):\n        yield number, data\n"
    with Worker(module(code)) as worker:
        worker.start(data=_LARGE)
        for number in range(3):
            time.sleep(0.5)
            assert worker.receive() == (number, _LARGE)


def test_a_large_request_arrives_whole_although_its_reader_is_slow(module):
    code = "import time\n\ndef work(requests):\n    for data in requests:\n        yield len(data)\n"
    code += "        time.sleep(0.5)\n"
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with Worker(module(code)) as worker:
            worker.open()
            signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
            for _ in range(3):
                worker.send(_LARGE)
                assert worker.receive() == len(_LARGE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    "code", ["return lambda: 0", "yield 1; yield open('/dev/null')", "raise Odd(open('/dev/null'))"]
)
def test_what_cannot_be_pickled_is_named(module, code):
    text = "from tftrt_yolo.ground.errors import TftrtYoloError\n\nclass Odd(TftrtYoloError):\n    pass\n\n"
    with Worker(module(f"{text}\ndef work():\n    {code}\n")) as worker:
        worker.start()
        if "yield 1" in code:
            assert worker.receive() == 1
        with pytest.raises(
            WorkerCrashedError, match=r"work\(\) gave a (function|TextIOWrapper|Odd) that cannot be pick"
        ):
            worker.receive()


def test_a_result_that_cannot_be_put_together_here(module, monkeypatch):
    """An error whose arguments are not those of its constructor."""

    class Odd(errors.TftrtYoloError):
        def __init__(self, a, b):
            super().__init__(a + b)

    monkeypatch.setattr(errors, "Odd", Odd, raising=False)
    text = "from tftrt_yolo.ground import errors\n\nclass Odd(errors.TftrtYoloError):\n    def __init__(self, a, b):\n"
    text += "        super().__init__(a + b)\n\nerrors.Odd = Odd\nOdd.__module__ = errors.__name__\n"
    with Worker(module(f"{text}\ndef work():\n    raise Odd('a', 'b')\n")) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError, match="cannot be put together here"):
            worker.receive()


def test_a_request_that_cannot_be_pickled_spoils_no_other(module):
    with Worker(module("def work(requests):\n    yield from requests\n")) as worker:
        worker.open()
        with pytest.raises((TypeError, AttributeError, pickle.PicklingError)):
            worker.send([_LARGE, lambda: 0])
        worker.send("after it")
        assert worker.receive() == "after it"


def test_a_program_that_outlives_its_worker_is_not_waited_for(module, tmp_path):
    code = "import subprocess, sys\n\ndef work():\n    child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
    code += f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n    sys.exit(3)\n"
    start = time.monotonic()
    with Worker(module(code)) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError, match="status 3"):
            worker.receive()
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert time.monotonic() - start < 50


@pytest.mark.parametrize("given", [None, "false"])
@pytest.mark.parametrize("python", [None, sys.executable])
def test_a_worker_shares_the_gpu(tmp_path, monkeypatch, given, python):
    """TensorFlow takes all of a GPU's memory, and its parent and others of its kind are on it too."""
    (tmp_path / "asked.py").write_text(
        "import os\n\ndef work():\n    return os.environ.get('TF_FORCE_GPU_ALLOW_GROWTH')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("TFTRT_YOLO_PEER_PYTHONPATH", str(tmp_path))
    if given:
        monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", given)
    else:
        monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    with Worker("asked", python=python) as worker:
        worker.start()
        assert worker.receive() == (given or "true")


@pytest.mark.parametrize(
    ("words", "is_full"),
    [
        # TensorFlow 2.17, gpu_device.cc, where another process has the GPU
        ("INTERNAL: failed initializing StreamExecutor for CUDA device ordinal 0: Status: out of memory", True),
        ("failed to alloc 2147483648 bytes on host: CUDA_ERROR_OUT_OF_MEMORY: out of memory", True),
        ("ResourceExhaustedError: OOM when allocating tensor with shape[8,64,320,320] and type float", True),
        ("[defaultAllocator.cpp::allocate::20] Error Code 1: Cuda Runtime (out of memory)", True),
        ("[virtualMemoryBuffer.cpp::resizePhysical::127] Error Code 1: Cuda Driver (out of memory)", True),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB", True),
        ("MemoryError: Unable to allocate 3.00 GiB for an array", False),  # the host's
        ("OSError: [Errno 28] No space left on device", False),
    ],
)
def test_a_gpu_without_memory_is_known_by_its_words(module, words, is_full):
    with Worker(module(f"def work():\n    raise SystemExit({words!r})\n")) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError) as caught:
            worker.receive()
    assert caught.value.is_gpu_full == is_full
    assert caught.value.is_disk_full == ("No space" in words)


@pytest.mark.parametrize(("number", "expected"), [(errno.ENOSPC, True), (errno.EDQUOT, True), (errno.EACCES, False)])
def test_a_disk_that_is_full_is_known(module, number, expected):
    name = module(f"def work():\n    raise OSError({number}, {os.strerror(number)!r})")
    with Worker(name) as worker:
        worker.start()
        with pytest.raises(WorkerCrashedError) as caught:
            worker.receive()
    assert caught.value.is_disk_full == expected
