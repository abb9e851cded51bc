"""What `make dist` builds: the same bytes every time, a true list of what is in it, and a wheel that works alone."""

import configparser
import gzip
import io
import json
import os
import shutil
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import dist
import numpy as np
import pytest
import sbom
import supervision as sv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import IMAGES, match, reference
from tftrt_yolo.ground.environment import TESTED_EXPORT_TOOLS

ROOT = Path(__file__).parents[1]
EPOCH = 1_700_000_000  # 2023-11-14T22:13:20Z


def _requirements(*extras):
    """What setup.cfg asks for."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    lists = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    return [Requirement(line) for text in lists for line in text.split("\n") if line]


def _pins(name):
    return sbom.pins((ROOT / name).read_text())


@pytest.mark.parametrize("requirement", _requirements("benchmark", "evaluate", "export"), ids=str)
def test_a_lower_bound_is_the_version_that_was_run(requirement):
    [lower] = [s.version for s in requirement.specifier if s.operator == ">="]
    assert Version(_pins(".ci/lowest.txt")[canonicalize_name(requirement.name)]) == Version(lower)


@pytest.mark.parametrize("requirement", _requirements("benchmark", "evaluate", "export", "preflight", "track"), ids=str)
def test_the_tested_versions_are_allowed(requirement):
    assert _pins("constraints.txt")[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("torch", "2.5.1"),  # Ultralytics loads checkpoints without restriction
        ("ultralytics", "8.4.66"),  # the same, with any PyTorch
        ("onnx2tf", "2.0.0"),  # another backend
    ],
)
def test_what_cannot_work_is_refused(name, version):
    [requirement] = [r for r in _requirements("export") if r.name == name]
    assert version not in requirement.specifier


def test_check_names_the_tested_versions():
    pinned = _pins("constraints.txt")
    assert {name: pinned[canonicalize_name(name)] for name in TESTED_EXPORT_TOOLS} == TESTED_EXPORT_TOOLS


def _sdist(path, *, names, clock, mode, user):
    """An sdist as setuptools leaves it: with this clock, this umask's modes and this user."""
    with gzip.open(path, "wb") as zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(f"package-1/{name}")
            member.mtime, member.mode, member.uname, member.uid = clock, mode, user, len(user)
            member.size = len(name)
            archive.addfile(member, io.BytesIO(name.encode()))
    return path


def test_an_sdist_forgets_clock_user_modes_and_order(tmp_path):
    names = ["setup.py", "a/b.py", "README.md"]
    first = _sdist(tmp_path / "first.tar.gz", names=names, clock=1, mode=0o600, user="one")
    second = _sdist(tmp_path / "second.tar.gz", names=names[::-1], clock=2, mode=0o664, user="another")
    assert first.read_bytes() != second.read_bytes()
    for path in (first, second):
        dist.pack_anew(path, EPOCH)
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[4:8] == EPOCH.to_bytes(4, "little")  # RFC 1952: MTIME
    with tarfile.open(first) as archive:
        assert archive.getnames() == sorted(f"package-1/{name}" for name in names)
        for member in archive.getmembers():
            assert archive.extractfile(member).read().decode() == member.name.removeprefix("package-1/")
            assert (member.mtime, member.mode, member.uid, member.uname) == (EPOCH, 0o644, 0, "")


def test_a_difference_is_refused_with_its_place(tmp_path):
    for folder, text in (("first", "1.0"), ("second", "1.1")):
        (tmp_path / folder).mkdir()
        with zipfile.ZipFile(tmp_path / folder / "a.whl", "w") as wheel:
            wheel.writestr(zipfile.ZipInfo("same.py"), "same")
            wheel.writestr(zipfile.ZipInfo("METADATA"), text)
    with pytest.raises(dist.ReleaseError, match=r"Two builds of a\.whl differ from byte \d+ on, in METADATA\."):
        dist.refuse_difference(tmp_path / "first", tmp_path / "second")
    shutil.copy(tmp_path / "first" / "a.whl", tmp_path / "second" / "a.whl")
    dist.refuse_difference(tmp_path / "first", tmp_path / "second")
    (tmp_path / "second" / "b.whl").touch()
    with pytest.raises(dist.ReleaseError, match=r"different files: a\.whl; and a\.whl, b\.whl"):
        dist.refuse_difference(tmp_path / "first", tmp_path / "second")


def test_a_release_is_made_of_a_commit(tmp_path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    (tmp_path / "tftrt_yolo" / "__pycache__").mkdir(parents=True)
    files = [Path("setup.py"), Path("tftrt_yolo/a.py")]
    for path in (*files, Path("tftrt_yolo/__pycache__/a.pyc"), Path("notes.txt")):
        (tmp_path / path).write_text("")
        os.utime(tmp_path / path, (EPOCH, EPOCH))
    assert dist.source_files(tmp_path) == files  # without git
    assert dist.source_date_epoch(tmp_path, files) == EPOCH
    (tmp_path / ".gitignore").write_text("__pycache__\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "a", "--no-verify"]):
        subprocess.run(
            ["git", *arguments],
            cwd=tmp_path,
            check=True,
            env=os.environ | {"GIT_COMMITTER_DATE": f"@{EPOCH + 9} +0000"},
        )
    assert dist.source_files(tmp_path) == files
    assert dist.source_date_epoch(tmp_path, files) == EPOCH + 9
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "3")
    assert dist.source_date_epoch(tmp_path, files) == 3
    (tmp_path / "tftrt_yolo" / "forgotten.py").touch()
    with pytest.raises(dist.ReleaseError, match=r"forgotten\.py\n.*commit or stash"):
        dist.source_files(tmp_path)


def _package(name, version, *requires, **metadata):
    return {"metadata": {"name": name, "version": version, "requires_dist": list(requires), **metadata}}


PACKAGES = [
    _package("tftrt_yolo", "1.0", "numpy", 'torch>=2; extra == "export"', license_expression="AGPL-3.0-or-later"),
    _package("Numpy", "1.26", 'tomli; python_version < "3.11"', classifier=["License :: OSI Approved :: BSD License"]),
    _package("torch", "2.13.0+cpu", "sympy[fast]", "nvidia-cublas", license="BSD-3-Clause"),
    _package("sympy", "1.14", 'mpmath; extra == "fast"', 'pytest; extra == "dev"'),
    _package("mpmath", "1.3", license="a\nwhole\nlicence"),
    _package("nvidia-cublas", "12"),
]
PINNED = {"numpy": "1.26", "torch": "2.13.0", "sympy": "1.14", "mpmath": "1.3", "pytest": "9"}


@pytest.fixture
def small_wheel(tmp_path):
    path = tmp_path / "tftrt_yolo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(zipfile.ZipInfo("tftrt_yolo/assets/a.pt"), "weights")
    return path


def _bill(wheel, packages=PACKAGES, pinned=PINNED):
    return sbom.make({"install": packages, "environment": {"python_version": "3.11"}}, pinned, wheel, EPOCH)


def test_it_says_what_needs_what(small_wheel):
    bill = _bill(small_wheel)
    assert {c["purl"]: c["scope"] for c in bill["components"]} == {
        "pkg:pypi/numpy@1.26": "required",
        "pkg:pypi/torch@2.13.0": "optional",  # as pinned, whichever build was found
        "pkg:pypi/sympy@1.14": "optional",
        "pkg:pypi/mpmath@1.3": "optional",  # through a dependency's extra; pytest, of another extra, is not there
    }
    assert {d["ref"]: d["dependsOn"] for d in bill["dependencies"]} == {
        "pkg:pypi/tftrt-yolo@1.0": ["pkg:pypi/numpy@1.26", "pkg:pypi/torch@2.13.0"],
        "pkg:pypi/numpy@1.26": [],
        "pkg:pypi/torch@2.13.0": ["pkg:pypi/sympy@1.14"],  # libraries of its builds for GPUs are the machine's
        "pkg:pypi/sympy@1.14": ["pkg:pypi/mpmath@1.3"],
        "pkg:pypi/mpmath@1.3": [],
    }
    release = bill["metadata"]["component"]
    assert release["licenses"] == [{"expression": "AGPL-3.0-or-later"}]
    assert [model["name"] for model in release["components"]] == ["tftrt_yolo/assets/a.pt"]
    assert {c["name"]: c.get("licenses") for c in bill["components"]} == {
        "Numpy": [{"license": {"name": "BSD License"}}],
        "torch": [{"license": {"name": "BSD-3-Clause"}}],
        "sympy": None,
        "mpmath": None,
    }


def test_neither_clock_nor_order_is_in_it(small_wheel):
    first = json.dumps(_bill(small_wheel), sort_keys=True)
    assert first == json.dumps(_bill(small_wheel, packages=PACKAGES[::-1]), sort_keys=True)
    assert "serialNumber" not in first
    assert '"timestamp": "2023-11-14T22:13:20Z"' in first


def test_it_refuses_what_is_not_pinned(small_wheel):
    pinned = {name: version for name, version in PINNED.items() if name != "mpmath"}
    with pytest.raises(ValueError, match=r"sympy needs mpmath, which is not pinned\. Pin it in constraints\.txt\."):
        _bill(small_wheel, pinned=pinned)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The release's wheel, built twice under different umasks, clocks and paths."""
    builds = []
    for umask, zone in ((0o077, "UTC"), (0o002, "Asia/Kathmandu")):
        before = os.umask(umask)
        try:
            folder = tmp_path_factory.mktemp("build") / zone.lower()
            environment = {"TZ": zone, "PYTHONHASHSEED": str(umask)}
            builds.append(dist.build(ROOT, dist.all_files(ROOT), EPOCH, folder, environment))
        finally:
            os.umask(before)
    dist.refuse_difference(*builds)
    return next(builds[0].glob("*.whl"))


class _Installation:
    """A new environment with nothing in it but what is installed here."""

    def __init__(self, folder):
        venv.create(folder, with_pip=True)
        self.folder = folder

    def run(self, program, *arguments):
        """Runs a program of the environment away from the checkout."""
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
        )

    def install(self, requirement):
        """Installs at the tested versions; compiles nothing ahead, which would take longer than all else."""
        constraints = str(ROOT / "constraints.txt")
        result = self.run("pip", "install", "--quiet", "--no-compile", "--constraint", constraints, requirement)
        assert result.returncode == 0, result.stderr

    def predict(self, saved_model_dir, images, output):
        """What Ultralytics finds on the images, and `tftrt-yolo predict` does not."""
        saved_model, source = f"--saved_model_dir={saved_model_dir}", f"--source={images[0].parent}/*.jpg"
        result = self.run("tftrt-yolo", "predict", saved_model, source, f"--output_dir={output}")
        assert result.returncode == 0, result.stderr
        return _missed(self.folder / output, images)


def _missed(pictures_dir, images):
    """What Ultralytics finds on the images, and `predict` has not written."""
    lines = [json.loads(line) for line in (pictures_dir / "detections.jsonl").read_text().splitlines()]
    assert sorted(Path(line["image"]).name for line in lines) == sorted(path.name for path in images)
    missed = []
    for line in lines:
        found = sv.Detections(
            xyxy=np.array([d["xyxy"] for d in line["detections"]], np.float32),
            confidence=np.array([d["score"] for d in line["detections"]]),
            class_id=np.array([d["class"] for d in line["detections"]]),
        )
        missed += match(found, reference("yolov8n-digits")[Path(line["image"]).name])[1]
    return missed


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    return [Path(shutil.copy(path, folder)) for path in IMAGES[:4]]


@pytest.mark.slow
def test_the_wheel_alone_works(wheel, models, pictures, tmp_path):
    """Without the extra it predicts and says what export needs; with it, demo and what demo made work."""
    alone = _Installation(tmp_path / "alone")
    alone.install(str(wheel))
    where = alone.run("python", "-c", "import tftrt_yolo; print(tftrt_yolo.__file__)").stdout.strip()
    assert Path(where).is_relative_to(alone.folder)
    assert alone.predict(models.exported("digits"), pictures, "base_pictures") == []
    result = alone.run("tftrt-yolo", "export", "--weights=yolov8n.yaml", "--saved_model_dir=exported")
    assert result.returncode == 1
    assert "torch, ultralytics, onnx, onnxslim, onnx2tf, tf_keras cannot be imported" in result.stderr
    assert "pip install tftrt_yolo[export]" in result.stderr
    assert not (alone.folder / "exported").exists()

    alone.install(f"{wheel}[export]")
    result = alone.run("tftrt-yolo", "demo", "--output_dir=demo")
    assert result.returncode == 0, result.stderr
    assert "Found 10 objects on 1 image " in result.stdout
    assert alone.predict("demo/yolov8n-digits_saved_model", pictures, "pictures") == []
