"""The Dockerfiles of docs/docker, as far as they can be checked without Docker: none of them is built here."""

import configparser
import dataclasses
import functools
import json
import re
import subprocess

import pytest

import tftrt_yolo
from tests.documents import ROOT
from tftrt_yolo.cli.commands import COMMANDS
from tftrt_yolo.cli.flags import parse
from tftrt_yolo.cli.signatures import arguments_of
from tftrt_yolo.ground.tensorrt import versions

DOCKERFILES = sorted((ROOT / "docs" / "docker").iterdir())
# Docker's own: those that are not here are in none of ours, or not for them.
INSTRUCTIONS = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "CMD"}
each = pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined."""

    name: str
    rest: str


@functools.cache
def instructions(path):
    """A Dockerfile's instructions, without its comments."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def _of(path, name):
    return [instruction.rest for instruction in instructions(path) if instruction.name == name]


def _commands(path):
    """Each call of our command line, as a list of words."""
    given = [re.split(r"\s+", line) for rest in _of(path, "RUN") for line in re.findall(r"tftrt-yolo [^|&;]*", rest)]
    return [[word for word in words if word] for words in given] + [json.loads(rest) for rest in _of(path, "CMD")]


def test_what_there_is():
    assert [path.name for path in DOCKERFILES] == ["tensorflow-25.02.Dockerfile", "tensorrt-8.6.1.Dockerfile"]


@each
def test_every_instruction_is_known(path):
    assert {instruction.name for instruction in instructions(path)} <= INSTRUCTIONS
    assert instructions(path)[0].name == "FROM"
    assert instructions(path)[-1].name == "CMD"
    assert len(_of(path, "CMD")) == 1
    assert all(re.fullmatch(r"/\S*", folder) for folder in _of(path, "WORKDIR"))
    assert all(re.fullmatch(r"\w+=\S+", pair) for pair in _of(path, "ENV"))


@each
def test_base_images_have_tags(path):
    """An image without one is another one each month."""
    found = [re.fullmatch(r"([a-z0-9./-]+):([a-z0-9.-]+)( AS [a-z]+)?", rest) for rest in _of(path, "FROM")]
    assert all(found)
    assert not any(match[2] == "latest" for match in found)


@each
def test_what_is_copied_exists(path):
    stages = [name for rest in _of(path, "FROM") for name in re.findall(r" AS (\w+)$", rest)]
    assert stages
    for rest in _of(path, "COPY"):
        *sources, target = rest.split()
        assert target
        if sources[0].startswith("--from="):
            assert sources[0].removeprefix("--from=") in stages
            assert all(source.startswith("/") for source in sources[1:])
        else:
            assert all((ROOT / source).exists() for source in sources), rest


@each
def test_what_setup_needs_is_copied(path):
    """Each stage that installs the package has all the files that setup.cfg reads, and what pip is given."""
    for stage in re.split(r"(?m)^FROM ", path.read_text())[1:]:
        copied = {word for line in re.findall(r"(?m)^COPY (?!--from)(.*)$", stage) for word in line.split()[:-1]}
        assert {"setup.cfg", "setup.py", "README.md", "LICENSE", "tftrt_yolo"} <= copied
        [constraints] = re.findall(r"--constraint (\S+)", stage)
        assert constraints in copied or f"> {constraints}" in stage


@each
def test_extras_exist(path):
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = [names.split(",") for rest in _of(path, "RUN") for names in re.findall(r"'\.\[([^]]*)\]'", rest)]
    assert len(named) == 2
    assert {name for names in named for name in names} <= set(setup["options.extras_require"])
    assert "evaluate" in named[0]
    assert "export" in named[0]
    assert "export" not in named[1]  # PyTorch's CUDA libraries are not TensorFlow's


@each
def test_scripts_are_scripts(path):
    for rest in _of(path, "RUN"):
        done = subprocess.run(["sh", "-n"], input=rest, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@each
def test_commands_exist(path):
    """With every flag that is given; the report is where the volume is, and the exports are where they were copied."""
    given = _commands(path)
    assert [words[1] for words in given] == ["acceptance", "check", "acceptance"]
    for _, name, *flags in given:
        assert name in COMMANDS
        parse(name, arguments_of(getattr(tftrt_yolo, name)), flags)
    assert given[-1][2:] == ["--output_dir=/acceptance/report", "--exports_dir=/exports"]
    assert "--from=exports /exported/exports /exports" in _of(path, "COPY")
    assert given[0][2] == "--output_dir=/exported"


@each
def test_it_says_how_it_is_built_and_that_it_was_not(path):
    head = path.read_text().partition("\nFROM ")[0]
    assert f"docker build -f {path.relative_to(ROOT)} -t tftrt-yolo:{path.stem} ." in head
    assert f'docker run --rm --gpus all -v "$PWD/acceptance:/acceptance" tftrt-yolo:{path.stem}' in head
    assert "We have run neither command" in head


def test_tensorrt_is_the_wheels():
    """Debian's packages are those that the words of `check` name, of the version that PyPI's TensorFlow opens."""
    [path] = [path for path in DOCKERFILES if "tensorrt" in path.name]
    linked = versions.parse(path.stem.removeprefix("tensorrt-"))
    assert linked == versions.WHEELS
    script = " ".join(_of(path, "RUN"))
    packages = re.findall(r"(libnvinfer[\w-]*)=(\S+)", script)
    assert [name for name, _ in packages] == ["libnvinfer8", "libnvinfer-plugin8"]
    assert all(versions.parse(version) == linked for _, version in packages)
    assert all(name in versions.how_to_install(linked) for name, _ in packages)
    assert versions.pip_package(linked) in path.read_text()
    assert "tensorflow==2.17.1" in (ROOT / "constraints.txt").read_text()
