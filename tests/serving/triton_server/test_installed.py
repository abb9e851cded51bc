"""Where Triton is, and what is said where a part of it is missing."""

import sys
import sysconfig
from pathlib import Path

import pytest

import tftrt_yolo
from tftrt_yolo.serving.triton_server import installed


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A folder like the wheel's, on the path before all others."""
    server = tmp_path / "pytriton" / "tritonserver"
    files = [
        "bin/tritonserver",
        "backends/python/libtriton_python.so",
        "backends/python/triton_python_backend_utils.py",
        "python_backend_stubs/{}.{}/triton_python_backend_stub".format(*sys.version_info),
    ]
    for name in files:
        (server / name).parent.mkdir(parents=True, exist_ok=True)
        (server / name).touch()
    (tmp_path / "pytriton" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pytriton", raising=False)
    return server


def test_its_parts(wheel, tmp_path):
    parts = installed.find()
    assert parts.server == wheel / "bin" / "tritonserver"
    parts.lay_out(tmp_path / "backends")
    names = ["libtriton_python.so", "triton_python_backend_stub", "triton_python_backend_utils.py"]
    assert sorted(path.name for path in (tmp_path / "backends" / "python").iterdir()) == names
    assert all(path.resolve().is_relative_to(wheel) for path in (tmp_path / "backends" / "python").iterdir())


def test_its_environment(wheel, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/own")
    monkeypatch.setenv("PYTHONPATH", ":relative:/opt/packages")
    environment = installed.find().environment()
    libraries = environment["LD_LIBRARY_PATH"].split(":")
    assert list(Path(libraries[0]).glob("libpython3*.so*"))
    assert libraries[1:] == [str(wheel.parents[1] / "nvidia_pytriton.libs"), "/opt/own"]
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert "relative" not in environment["PYTHONPATH"]
    assert environment["PYTHONPATH"].split(":")[-1] == "/opt/packages"


@pytest.mark.parametrize(
    ("gone", "message"),
    [
        ("bin/tritonserver", r"installed without its server, bin/tritonserver\. Install it: pip install"),
        ("backends/python/libtriton_python.so", r"installed without its server, bin/tritonserver\. Install it"),
        (
            "python_backend_stubs/{}.{}/triton_python_backend_stub".format(*sys.version_info),
            r"has no stub of Triton's Python backend for Python 3\.\d+; it has those for .*Run the server with one",
        ),
    ],
)
def test_a_part_is_missing(wheel, gone, message):
    (wheel / gone).unlink()
    with pytest.raises(tftrt_yolo.ServingError, match=message):
        installed.find()


def test_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytriton", None)
    with pytest.raises(
        tftrt_yolo.ServingError, match=r"nvidia-pytriton is not installed.*pip install 'tftrt_yolo\[triton\]'"
    ):
        installed.find()


def test_a_python_without_its_library(wheel, monkeypatch, tmp_path):
    """As interpreters are that were built without --enable-shared; Triton itself would say `_recursion_count`."""
    variables = {"INSTSONAME": "libpython3.99.a", "LIBDIR": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: variables.get(name))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    with pytest.raises(
        tftrt_yolo.ServingError,
        match=r"has no libpython3\.\d+\.so\.1\.0, which Triton's Python backend loads.*--enable-shared",
    ):
        installed.find()
