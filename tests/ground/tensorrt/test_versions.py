"""What follows from a linked version, for every TensorRT that TF-TRT was built against, and for none."""

import pytest

from tftrt_yolo.ground.tensorrt import versions
from tftrt_yolo.ground.tensorrt.versions import TensorRTVersion

V8, V10_8 = TensorRTVersion(8, 6, 1), TensorRTVersion(10, 8, 0)
TENS = [TensorRTVersion(10, minor, 1 if minor == 0 else 0) for minor in range(9)]  # 10.0.1, 10.1.0 to 10.8.0
RELEASES = [V8, TensorRTVersion(8, 6, 2), *TENS]


def _encoded(version):
    """getInferLibVersion() of a release: the headers' NV_TENSORRT_VERSION."""
    thousand = 10_000 if version.major >= 10 else 1_000
    return version.major * thousand + version.minor * 100 + version.patch


def _as_tensorflow_2_17_reads(number):
    """GetLoadedTensorRTVersion in TensorFlow 2.17.1, line by line."""
    major = number // 1_000
    rest = number - major * 1_000
    minor = rest // 100
    return major, minor, rest - minor * 100


@pytest.mark.parametrize(
    ("numbers", "version"),
    [
        ((0, 0, 0), None),  # a TensorFlow without TensorRT
        ((8, 6, 1), V8),
        ((10, 0, 1), TensorRTVersion(10, 0, 1)),
        ((10, 8, 0), V10_8),
    ],
)
def test_linked(numbers, version):
    assert versions.linked(numbers) == version


@pytest.mark.parametrize("version", [*RELEASES, TensorRTVersion(9, 3, 0), TensorRTVersion(10, 13, 3)], ids=str)
def test_a_loaded_version_is_read_whoever_reads_it(version):
    assert versions.loaded(tuple(version)) == version  # of a TensorFlow that reads it right
    assert versions.loaded(_as_tensorflow_2_17_reads(_encoded(version))) == version


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0, 0, 0), "0.0.0"),  # a library that says nothing
        ((0, 0, -1), "0.0.-1"),
        ((99, 9, 99), "9.99.99"),
    ],
)
def test_nonsense_is_no_version_that_fits(numbers, text):
    found = versions.loaded(numbers)
    assert str(found) == text
    assert not any(versions.fits(found, linked) for linked in RELEASES)


def test_what_is_misread_is_not_what_is_there():
    """Of TensorRT 10 and newer alone; else TF-TRT's rule and ours would be the same."""
    misread = [v for v in RELEASES if TensorRTVersion(*_as_tensorflow_2_17_reads(_encoded(v))) != v]
    assert misread == TENS


@pytest.mark.parametrize(
    ("loaded", "linked", "fits"),
    [
        ("8.6.1", "8.6.1", True),
        ("8.6.3", "8.6.1", True),  # a later patch of the same major version
        ("8.6.1", "8.6.2", False),  # an older patch
        ("8.5.3", "8.6.1", False),
        ("10.0.1", "8.6.1", False),  # another major version under the old name
        ("8.6.1", "10.0.1", False),
        ("10.0.1", "10.0.1", True),
        ("10.8.0", "10.0.1", True),
        ("10.8.0.43", "10.8.0", True),  # pip's number
        ("10.7.0", "10.8.0", False),
        ("10.10.0", "10.9.0", True),  # numbers, not letters
        ("100.8.0", "10.8.0", False),
        (None, "8.6.1", False),
        (None, "10.8.0", False),
        ("8.6.1", None, False),
        ("garbage", "10.8.0", False),
        ("10", "10.8.0", False),
    ],
)
def test_tf_trts_version_rule(loaded, linked, fits):
    assert versions.fits(versions.parse(loaded), versions.parse(linked)) is fits


@pytest.mark.parametrize(
    ("loaded", "linked"), [(a, b) for a in RELEASES for b in RELEASES], ids=lambda version: str(version)
)
def test_the_rule_is_tf_trts(loaded, linked, monkeypatch):
    """Asked of TF-TRT's own check, which reads both versions from here."""
    from tensorflow.compiler.tf2tensorrt import _pywrap_py_utils
    from tensorflow.python.compiler.tensorrt import trt_convert

    monkeypatch.setattr(_pywrap_py_utils, "is_tensorrt_enabled", lambda: True)
    monkeypatch.setattr(_pywrap_py_utils, "get_linked_tensorrt_version", lambda: tuple(linked))
    monkeypatch.setattr(_pywrap_py_utils, "get_loaded_tensorrt_version", lambda: tuple(loaded))
    if versions.fits(loaded, linked):
        trt_convert._check_trt_version_compatibility()
    else:
        with pytest.raises(RuntimeError, match="Incompatible TensorRT major version"):
            trt_convert._check_trt_version_compatibility()


@pytest.mark.parametrize(
    ("version", "likelier", "others"),
    [
        (V8, "8.6.1", "8"),  # PyPI's wheels open the full name
        (TensorRTVersion(8, 6, 2), "8", "8.6.2"),
        *((version, "10", str(version)) for version in TENS),
    ],
    ids=str,
)
def test_names(version, likelier, others):
    both = tuple(tuple(f"lib{name}.so.{end}" for name in ("nvinfer", "nvinfer_plugin")) for end in (likelier, others))
    assert versions.names(version) == both
    linked = {name for library in ("nvinfer", "nvinfer_plugin") for name in versions.link_names(library, version)}
    assert linked == {*both[0], *both[1]}  # whichever TensorFlow opens, `check --fix` makes it


FULL, MAJOR = ("libnvinfer.so.10.8.0", "libnvinfer_plugin.so.10.8.0"), ("libnvinfer.so.10", "libnvinfer_plugin.so.10")
STALE = versions.NOT_OPENED


@pytest.mark.parametrize(
    ("missing", "opened", "wanted"),
    [
        ((), True, dict.fromkeys(MAJOR, "")),
        (FULL, True, dict.fromkeys(MAJOR, "")),
        (MAJOR, True, dict.fromkeys(FULL, "")),  # so that is what it opens
        ((*FULL, *MAJOR), False, dict.fromkeys((*MAJOR, *FULL), "missing")),  # either of the two will do
        (MAJOR, False, dict.fromkeys(MAJOR, "missing")),  # the full names are there, and it did not open them
        (FULL, False, dict.fromkeys(FULL, "missing")),
        ((MAJOR[1], *FULL), False, {MAJOR[0]: "", MAJOR[1]: "missing", **dict.fromkeys(FULL, "missing")}),
        ((), False, dict.fromkeys(MAJOR, STALE)),
    ],
)
def test_which_names_tensorflow_opens(missing, opened, wanted):
    problems = {name: "missing" if name in missing else "" for name in (*FULL, *MAJOR)}
    assert versions.wanted(V10_8, problems, opened=opened) == wanted
    assert opened is not any(wanted.values())


def test_names_that_were_not_tried():
    """The others are not opened where the likelier ones will do."""
    assert versions.wanted(V10_8, dict.fromkeys(MAJOR, ""), opened=True) == dict.fromkeys(MAJOR, "")


def test_of_the_wheels_one_name_is_known():
    problems = {name: "missing" for pair in versions.names(V8) for name in pair}
    wanted = versions.wanted(V8, problems, opened=False)
    assert wanted == {"libnvinfer.so.8.6.1": "missing", "libnvinfer_plugin.so.8.6.1": "missing"}


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (
            "8.6.1",
            "install tensorrt-libs==8.6.1 from NVIDIA's own package index, then run `tftrt-yolo check --fix`; or "
            "NVIDIA's Debian packages libnvinfer8 and libnvinfer-plugin8 of version 8.6.1",
        ),
        (
            "8.6.2",
            "install NVIDIA's Debian packages libnvinfer8 and libnvinfer-plugin8 of version 8.6.2",
        ),  # pip has none
        *(
            (
                str(version),
                f"install 'tensorrt-cu12-libs>={version},<11' from NVIDIA's own package index, then run `tftrt-yolo "
                f"check --fix`; or NVIDIA's Debian packages libnvinfer10 and libnvinfer-plugin10 of version {version}",
            )
            for version in TENS
        ),
        ("9.3.0", "install TensorRT 9.3.0 from NVIDIA's archive, and put its lib folder on LD_LIBRARY_PATH"),
    ],
)
def test_how_to_install(version, words):
    assert versions.how_to_install(versions.parse(version)) == words


@pytest.mark.parametrize("version", RELEASES, ids=str)
def test_what_is_named_fits(version):
    """Each version that the words name is one that TF-TRT would take."""
    assert versions.rule(version) == f"TF-TRT takes {version} and newer ones of major version {version.major}"
    package = versions.pip_package(version)
    assert bool(package) is (version != TensorRTVersion(8, 6, 2))
    if package:
        from packaging.requirements import Requirement

        requirement = Requirement(package.strip("'"))
        assert requirement.specifier.contains(str(version))
        assert not requirement.specifier.contains(f"{version.major + 1}.0.0")
