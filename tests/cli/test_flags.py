import dataclasses
import importlib
from typing import ClassVar

import absl.flags
import pytest

import tftrt_yolo
from tftrt_yolo.cli.commands import COMMANDS
from tftrt_yolo.cli.flags import parse
from tftrt_yolo.cli.signatures import REQUIRED, arguments_of, as_keywords
from tftrt_yolo.ground.arguments import Options
from tftrt_yolo.predictor import spelling

DIRS = ["--saved_model_dir=a", "--output_saved_model_dir=b"]


def _keywords(command, *command_line):
    arguments = arguments_of(getattr(tftrt_yolo, command))
    given = parse(command, arguments, list(command_line), plain=COMMANDS[command].plain)
    return as_keywords(arguments, given.values)


def _config(folder, section, values):
    path = folder / "config.py"
    document = {section: values}
    path.write_text(f"from ml_collections import ConfigDict\ndef get_config(): return ConfigDict({document!r})\n")
    return f"--config={path}"


@pytest.mark.parametrize(
    ("flags", "name", "expected"),
    [
        (["--batch_sizes=1"], "tensorrt", {"batch_sizes": (1,)}),
        (["--batch_sizes=1,8"], "tensorrt", {"batch_sizes": (1, 8)}),
        (["--minimum_segment_size=3"], "tensorrt", {"minimum_segment_size": 3}),  # its default, and given all the same
        (["--parity_images=x"], "baked", {"parity_images": "x"}),
        (["--noallow_build_at_runtime"], "tensorrt", {"allow_build_at_runtime": False}),
        (
            ["--calibration_data=x", "--maximum_map_drop=0.01", "--maximum_score_shift=0.02"],
            "int8",
            {"calibration_data": "x", "maximum_map_drop": 0.01, "maximum_score_shift": 0.02},
        ),
    ],
)
def test_options_are_built_of_what_was_given_alone(flags, name, expected):
    keywords = _keywords("convert", *DIRS, *flags)
    assert set(keywords) == {"saved_model_dir", "output_saved_model_dir", name}
    assert {field: getattr(keywords[name], field) for field in keywords[name].given} == expected


def test_no_options_where_none_are_given():
    assert _keywords("convert", *DIRS) == {"saved_model_dir": "a", "output_saved_model_dir": "b"}


@pytest.mark.parametrize(
    ("command", "flags", "name", "options"),
    [
        (
            "evaluate",
            ["--saved_model_dir=a", "--data=b", "--split=test", "--boxes_only"],
            "data_options",
            tftrt_yolo.DataOptions(split="test", boxes_only=True),
        ),
        (
            "benchmark",
            ["--saved_model_dir=a", "--output_dir=b", "--peer_python=python3", "--images=c"],
            "options",
            tftrt_yolo.BenchmarkOptions(peer_python="python3", images="c"),
        ),
        (
            "predict",
            [
                "a",
                "--source=b",
                "--output_dir=c",
                "--classes=0,traffic light,2",
                "--score_threshold=0.5",
                "--class_agnostic",
            ],
            "selection",
            tftrt_yolo.SelectionOptions(score_threshold=0.5, classes=(0, "traffic light", 2), class_agnostic=True),
        ),
        (
            "predict",
            ["a", "--source=b", "--output_dir=c", "--classes=7"],
            "selection",
            tftrt_yolo.SelectionOptions(classes=(7,)),
        ),
        (
            "predict",
            ["a", "--source=b", "--output_dir=c", "--skip_unreadable"],
            "source",
            tftrt_yolo.SourceOptions(source="b", skip_unreadable=True),
        ),
        (
            "predict",
            ["a", "--source=b", "--output_dir=c", "--save=txt,masks", "--noshow_boxes", "--line_width=2"],
            "output_dir",
            tftrt_yolo.OutputOptions(output_dir="c", save=("txt", "masks"), show_boxes=False, line_width=2),
        ),
        (
            "predict",
            ["a", "--source=b", "--output_dir=c", "--save=coco", "--nopictures", "--coco_annotations=d"],
            "output_dir",
            tftrt_yolo.OutputOptions(output_dir="c", save=("coco",), pictures=False, coco_annotations="d"),
        ),
        (
            "predict",
            ["a", "--source=0", "--output_dir=c", "--vid_stride=2", "--stream_buffer", "--max_retries=3"],
            "source",
            tftrt_yolo.SourceOptions(source="0", vid_stride=2, stream_buffer=True, max_retries=3),
        ),
        (
            "predict",
            ["a", "--source", "-", "--output_dir=c", "--recursive", "--timeout_s=2.5"],
            "source",
            tftrt_yolo.SourceOptions(source="-", recursive=True, timeout_s=2.5),
        ),
        (
            "predict",
            ["a", "--source=b", "--output_dir=c", "--devices=0,cpu,gpu:2"],
            "source",
            tftrt_yolo.SourceOptions(source="b", devices=(0, "CPU", "GPU:2")),
        ),
    ],
)
def test_options_of_other_commands(command, flags, name, options):
    assert _keywords(command, *flags)[name] == options


@pytest.mark.parametrize(
    ("accelerator", "name"),
    [(None, "tensorrt"), ("tensorrt", "tensorrt"), ("xla", "baked"), ("onednn", "baked"), ("cuda", "tensorrt")],
)
@pytest.mark.parametrize("where", ["flags", "config", "both"])
def test_one_flag_goes_to_the_options_that_are_meant(tmp_path, accelerator, name, where):
    """As flags, in a config, and the batch sizes in a config for the accelerator that is a flag."""
    values = {"batch_sizes": (1, 8)} | ({"accelerator": accelerator} if accelerator else {})
    flags = ["--batch_sizes=1,8"] + ([f"--accelerator={accelerator}"] if accelerator else [])
    if where == "config":
        flags = [_config(tmp_path, "convert", values)]
    elif where == "both":
        flags = [_config(tmp_path, "convert", {"batch_sizes": (1, 8)}), *flags[1:]]
    keywords = _keywords("convert", *DIRS, *flags)
    assert set(keywords) & {"tensorrt", "baked"} == {name}
    assert (keywords[name].batch_sizes, keywords[name].given) == ((1, 8), ("batch_sizes",))


@pytest.mark.parametrize("sizes", [[1], (1,), [1, 8], (1, 8)])
def test_options_in_a_config(tmp_path, sizes):
    config = _config(tmp_path, "convert", {"batch_sizes": sizes, "minimum_coverage": 0.5})
    options = _keywords("convert", *DIRS, config)["tensorrt"]
    assert options.batch_sizes == tuple(sizes)
    assert set(options.given) == {"batch_sizes", "minimum_coverage"}
    options = _keywords("convert", *DIRS, config, "--batch_sizes=4")["tensorrt"]
    assert options.batch_sizes == (4,)
    assert set(options.given) == {"batch_sizes", "minimum_coverage"}


@pytest.mark.parametrize(
    ("size", "expected"), [("640", 640), ("480,640", (480, 640)), ([480], 480), ([480, 640], (480, 640)), (96, 96)]
)
def test_one_number_or_two(tmp_path, size, expected):
    """As a flag, where it is text, and in a config."""
    given = f"--image_size={size}" if isinstance(size, str) else _config(tmp_path, "export", {"image_size": size})
    assert _keywords("export", "--weights=a", "--saved_model_dir=b", given)["image_size"] == expected


BARE = pytest.mark.parametrize(("command", "others"), [("inspect", []), ("predict", ["--source=a", "--output_dir=b"])])


@BARE
def test_the_directory_without_its_name(tmp_path, command, others):
    named = _keywords(command, "--saved_model_dir=x", *others)
    assert named["saved_model_dir"] == "x"
    assert _keywords(command, "x", *others) == named
    assert _keywords(command, *others, "x") == named
    config = _config(tmp_path, command, {"saved_model_dir": "z"})
    assert _keywords(command, config, *others)["saved_model_dir"] == "z"
    assert _keywords(command, "x", config, *others) == named  # as a flag, it wins


@BARE
@pytest.mark.parametrize("command_line", [["x", "--saved_model_dir=y"], ["--saved_model_dir=y", "x"]])
def test_the_directory_given_twice(command, others, command_line):
    with pytest.raises(absl.flags.Error, match="'x' and --saved_model_dir=y are given, and both are saved_model_dir"):
        _keywords(command, *command_line, *others)


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        (["inspect", "a", "b"], "'b' is no flag; write --name=value"),
        (["check", "a"], "'a' is no flag; write --name=value"),
        (
            ["convert", "--batch_size=1"],
            r"flag 'batch_size'\. Did you mean --batch_sizes\? `tftrt-yolo convert --help`",
        ),
        (["predict", "--sorce=a"], "Did you mean --source"),
        (["predict", "a", "--source=b", "--source=c"], r"--source is given 2 times, the last time as 'c'; expected it"),
        (["predict", "--source", "b", "--source", "b"], "--source is given 2 times"),
        (["predict", "--overwrite", "--nooverwrite"], "--overwrite is given 2 times, the last time as False"),
        (["convert", "--batch_sizes=1", "--batch_sizes=8"], r"--batch_sizes is given 2 times, the last time as \[8\]"),
        (["inspect", "a", "--json", "--json", "--json"], "--json is given 3 times"),
        (["export", "--config=a.py", "--config=b.py"], "--config is given 2 times"),
        (["predict", "--conf=0.5"], r"flag 'conf'\. Ultralytics' conf is --score_threshold here\. `tftrt-yolo predict"),
        (["predict", "--conf-thres=0.5"], "Ultralytics' conf-thres is --score_threshold here"),
        (["predict", "--iou=0.5"], "Ultralytics' iou is --iou_threshold here"),
        (["predict", "--max_det=5"], "Ultralytics' max_det is --max_detections here"),
        (["predict", "--agnostic_nms"], "Ultralytics' agnostic_nms is --class_agnostic here"),
        (["predict", "--model=a"], "Ultralytics' model is --saved_model_dir here"),
        (["predict", "--weights=a"], "Ultralytics' weights is --saved_model_dir here"),
        (["predict", "--batch=8"], "Ultralytics' batch is --batch_size here"),
        (["predict", "--save_dir=a"], "Ultralytics' save_dir is --output_dir here"),
        (["predict", "--project=a"], "Ultralytics' project is --output_dir here"),
        (["predict", "--exist_ok"], "Ultralytics' exist_ok is --overwrite here"),
        (["predict", "--save_txt"], "Ultralytics' save_txt is --save here"),
        (["predict", "--save-crop"], "Ultralytics' save-crop is --save here"),
        (["predict", "--save_conf"], "Ultralytics' save_conf is --save_confidence here"),
        (["predict", "--show_conf=False"], "Ultralytics' show_conf is --show_confidence here"),
        (["predict", "--line_thickness=2"], "Ultralytics' line_thickness is --line_width here"),
        (["predict", "--nosave"], "Ultralytics' nosave is --pictures here"),
        (["predict", "a", "save_txt=True"], r"Ultralytics' save_txt is --save here; write --save=\.\.\."),
        (["predict", "--imgsz=320"], r"flag 'imgsz'\. `tftrt-yolo predict --help` lists"),  # it has none
        (["predict", "--device=0"], r"flag 'device'\. Ultralytics' device is --devices here"),
        (["evaluate", "--device=0"], r"flag 'device'\. `tftrt-yolo evaluate --help` lists"),
        (["export", "--model=a"], "Ultralytics' model is --weights here"),
        (["export", "--imgsz=320"], "Ultralytics' imgsz is --image_size here"),
        (["export", "--end2end=True"], "Ultralytics' end2end is --nms here"),
        (["export", "end2end=True"], r"Ultralytics' end2end is --nms here; write --nms=\.\.\."),
        (["export", "--conf=0.5"], "Ultralytics' conf is --score_threshold here"),
        (["convert", "--half"], "Ultralytics' half is --precision_mode here"),
        (["convert", "--data=a.yaml"], "Ultralytics' data is --calibration_data here"),
        (["convert", "--batch=8"], "Ultralytics' batch is --batch_sizes here"),
        (["evaluate", "--model=a"], "Ultralytics' model is --saved_model_dir here"),
        (["predict", "a", "conf=0.5"], r"'conf=0\.5' is no flag\. Ultralytics' conf is --score_threshold here; write "),
        (["predict", "model=a", "conf=0.5"], r"here; write --saved_model_dir=a\."),
        (["export", "imgsz=320"], r"here; write --image_size=320\."),
        (["convert", "half=True"], r"here; write --precision_mode=\.\.\.\."),
        (["predict", "source=a"], r"'source=a' is no flag; write --source=a\."),
        (["inspect", "verbose=1"], "'verbose=1' is no flag; write --name=value"),
        (["check", "--jsn"], "Did you mean --json"),
        (["check", "--zzzzzz"], r"flag 'zzzzzz'\. `tftrt-yolo check --help` lists the known"),
    ],
)
def test_what_cannot_be_read(command_line, message):
    with pytest.raises(absl.flags.Error, match=message):
        _keywords(*command_line)


def test_a_directory_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model=a").mkdir()
    assert _keywords("inspect", "model=a") == {"saved_model_dir": "model=a"}
    assert _keywords("inspect", "runs/model=b") == {"saved_model_dir": "runs/model=b"}


def test_a_config_with_ultralytics_words(tmp_path):
    config = _config(tmp_path, "predict", {"conf": 0.5})
    with pytest.raises(absl.flags.Error, match=r"no argument of predict\. Ultralytics' conf is score_threshold here"):
        _keywords("predict", "a", "--source=b", "--output_dir=c", config)


def test_every_flag_that_is_named_for_ultralytics_word_exists():
    flags_of = {command: [row.name for row in arguments_of(getattr(tftrt_yolo, command))] for command in COMMANDS}
    known = {name for names in flags_of.values() for name in names}
    for word, ours in spelling._OF_ULTRALYTICS.items():
        assert set(ours) <= known, word
    assert set(spelling.OTHER_VALUES) <= set(spelling._OF_ULTRALYTICS)


def test_an_unknown_key_of_a_config_is_named_with_one_that_is_alike(tmp_path):
    config = _config(tmp_path, "convert", {"batch_size": (1,)})
    with pytest.raises(
        absl.flags.Error, match=r"'batch_size', which is no argument of convert\. Did you mean batch_sizes\?"
    ):
        _keywords("convert", *DIRS, config)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Depth(Options):
    """Options.

    Attributes:
      depth: How deep.
      sizes: Which sizes.
    """

    depth: int = 1
    sizes: tuple[int, ...] = dataclasses.field(default_factory=lambda: (1, 2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OtherDepth(Options):
    """Options.

    Attributes:
      depth: How deep.
    """

    depth: int = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class _DepthOnLand(_OtherDepth):
    """Options.

    Attributes:
      depth: How deep on land.
    """

    MEANT_WITH: ClassVar = {"place": ("land",)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _DepthAtSea(_OtherDepth):
    """Options.

    Attributes:
      depth: How deep at sea.
    """

    MEANT_WITH: ClassVar = {"place": ("sea", "ocean")}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _DepthInWords(Options):
    """Options.

    Attributes:
      depth: How deep.
    """

    MEANT_WITH: ClassVar = {"place": ("air",)}
    depth: str = "deep"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Json(Options):
    """Options.

    Attributes:
      json: A name that every command has.
    """

    json: bool = False


def _two_groups(*, first: _Depth | None = None, second: _OtherDepth | None = None):
    """Does nothing.

    Args:
      first: Some.
      second: Others.
    """


def _a_group_and_an_argument(depth: str, *, options: _Depth | None = None):
    """Does nothing.

    Args:
      depth: An argument.
      options: Some.
    """


def _a_groups_and_the_command_lines(*, options: _Json | None = None):
    """Does nothing.

    Args:
      options: Some.
    """


def _groups(one, other):
    def function(*, place: str = "land", first: one | None = None, second: other | None = None):
        """Does nothing.

        Args:
          place: Where.
          first: Some.
          second: Others.
        """

    return function


def test_groups_that_are_never_meant_together_share_a_flag():
    arguments = arguments_of(_groups(_DepthOnLand, _DepthAtSea))
    assert [(argument.name, argument.default) for argument in arguments] == [("place", "land"), ("depth", 1)]
    assert arguments[1].help == "How deep on land. How deep at sea."
    assert as_keywords(arguments, {"depth": 3}) == {"first": _DepthOnLand(depth=3)}
    assert as_keywords(arguments, {"place": "ocean", "depth": 3}) == {"place": "ocean", "second": _DepthAtSea(depth=3)}
    assert as_keywords(arguments, {"place": "air", "depth": 3}) == {"place": "air", "first": _DepthOnLand(depth=3)}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_DepthOnLand, _DepthOnLand),  # meant together
        (_DepthOnLand, _OtherDepth),  # always meant
        (_OtherDepth, _DepthAtSea),
        (_DepthOnLand, _DepthInWords),  # one flag cannot be of two types
    ],
)
def test_other_groups_share_none(one, other):
    with pytest.raises(TypeError, match=f"--depth of `function` is of {one.__name__} and of {other.__name__}"):
        arguments_of(_groups(one, other))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_two_groups, "--depth of `_two_groups` is of _Depth and of _OtherDepth. Rename one"),
        (_a_group_and_an_argument, r"--depth of .* is of _a_group_and_an_argument\(\) and of _Depth"),
        (_a_groups_and_the_command_lines, "--json of .* is of the command line and of _Json"),
    ],
)
def test_flags_of_one_name_are_an_error_at_start(function, message, monkeypatch):
    with pytest.raises(TypeError, match=message):
        arguments_of(function)
    monkeypatch.setattr(tftrt_yolo, "demo", function)
    with pytest.raises(TypeError, match=message):  # a mistake of ours, which is not told as the user's
        importlib.import_module("tftrt_yolo.cli.command_line").main(["demo", "--help"])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_argument_has_a_description_and_a_kind_that_a_flag_can_have(command):
    arguments = arguments_of(getattr(tftrt_yolo, command))
    assert arguments
    assert all(argument.help.endswith(".") for argument in arguments)
    names = [argument.name for argument in arguments]
    assert len(set(names)) == len(names)


def test_a_fields_default_that_is_made_is_shown():
    def function(*, options: _Depth | None = None):
        """Does nothing.

        Args:
          options: Some.
        """

    depth, sizes = arguments_of(function)
    assert (depth.default, sizes.default) == (1, (1, 2))
    assert depth.default is not REQUIRED
