"""What the command line says about itself: its commands, a command's flags, the version, and what was perhaps meant."""

import difflib
import importlib.metadata
import inspect
import platform
import textwrap
from collections.abc import Callable, Iterable

from tftrt_yolo.cli.commands import COMMANDS
from tftrt_yolo.cli.signatures import REQUIRED, Argument
from tftrt_yolo.ground.version import __version__

USAGE = (
    "Usage: tftrt-yolo COMMAND [--flag=value ...]\n\n"
    + "\n".join(f"  {name:<13}{command.summary}" for name, command in COMMANDS.items())
    + "\n\n`tftrt-yolo COMMAND --help`, or `tftrt-yolo help COMMAND`, lists a command's flags. --config=FILE.py gives "
    "them\nfrom a file's section, and --json prints the report as JSON. `tftrt-yolo --version` shows the versions."
)
# What Ultralytics' users type, and what it is called here; a command's own flags alone are named. Source: Ultralytics'
# cfg/default.yaml, and YOLOv5's detect.py and export.py.
_OF_ULTRALYTICS = {
    "model": ("weights", "saved_model_dir"),
    "weights": ("saved_model_dir",),
    "conf": ("score_threshold",),
    "conf_thres": ("score_threshold",),
    "iou": ("iou_threshold",),
    "iou_thres": ("iou_threshold",),
    "max_det": ("max_detections",),
    "agnostic_nms": ("class_agnostic",),
    "imgsz": ("image_size",),
    "img": ("image_size",),
    "img_size": ("image_size",),
    "data": ("calibration_data",),
    "batch": ("batch_size", "batch_sizes"),
    "half": ("precision_mode",),
    "int8": ("precision_mode",),
    "quantize": ("precision_mode",),
    "format": ("accelerator",),
    "workspace": ("max_workspace_size_bytes",),
    "exist_ok": ("overwrite",),
    "save_conf": ("save_confidence",),
    "show_conf": ("show_confidence",),
    "line_thickness": ("line_width",),
    **dict.fromkeys(("save_txt", "save_crop", "save_csv", "save_json"), ("save",)),
    "nosave": ("pictures",),
    "hide_labels": ("show_labels",),
    "hide_conf": ("show_confidence",),
    **dict.fromkeys(("save_dir", "project", "name"), ("output_dir", "output_saved_model_dir", "saved_model_dir")),
}
OTHER_VALUES = (  # whose values are not those of our flags
    *("half", "int8", "quantize", "format", "workspace"),
    *("save_txt", "save_crop", "save_csv", "save_json", "nosave", "hide_labels", "hide_conf"),
)
_TENSORFLOW_PACKAGES = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-rocm", "tf-nightly")


def help_of(command: str, function: Callable, arguments: tuple[Argument, ...]) -> str:
    """The help of a command.

    Args:
      command: The command.
      function: Its function, whose docstring begins with what it does.
      arguments: What it can be given.

    Returns:
      Its flags, each with its default and its description.
    """
    plain = COMMANDS[command].plain
    lines = [f"tftrt-yolo {command}: {inspect.getdoc(function).splitlines()[0]}", ""]
    if plain:
        lines += [f"Usage: tftrt-yolo {command} [{plain.upper()}] [--flag=value ...]", ""]
    lines.append("Flags:")
    for argument in arguments:
        note = f"; or {plain.upper()}, without its name" if argument.name == plain else ""
        lines.append(f"  --{argument.name} ({_default_of(argument)}{note})")
        lines += _indented(argument.help)
    lines.append("  --config")
    lines += _indented(
        f"A Python file with get_config(); its section '{command}' gives these flags; flags given here win."
    )
    lines.append("  --json")
    lines += _indented("Prints the report as JSON, and nothing else to standard output.")
    return "\n".join(lines)


def version() -> str:
    """The version, and below it what this runs on; TensorFlow is not imported to find out."""
    return f"tftrt-yolo {__version__}\nPython {platform.python_version()}, {_tensorflow()}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Suggests what is spelled alike.

    Args:
      name: What is not known.
      known: What is.

    Returns:
      A sentence with a blank before it; empty if nothing is close.
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def of_ultralytics(name: str, known: Iterable[str]) -> str | None:
    """A command's flag for a word of Ultralytics' command line.

    Args:
      name: The word, without dashes before it.
      known: Names of the command's flags.

    Returns:
      The flag's name; None if the word is not Ultralytics', or the command has no such flag.
    """
    known = set(known)
    return next((ours for ours in _OF_ULTRALYTICS.get(name.replace("-", "_"), ()) if ours in known), None)


def flag_meant(name: str, known: Iterable[str], *, prefix: str = "--") -> str:
    """Names the flag that was perhaps meant: by Ultralytics' name, or spelled alike.

    Args:
      name: What is not known.
      known: Names of the command's flags.
      prefix: What stands before them where they are given.

    Returns:
      A sentence with a blank before it; empty if there is none.
    """
    known = list(known)
    ours = of_ultralytics(name, known)
    if ours:
        return f" Ultralytics' {name} is {prefix}{ours} here."
    return did_you_mean(f"{prefix}{name}", [f"{prefix}{one}" for one in known])


def _default_of(argument: Argument) -> str:
    """What an argument is where it is not given, for a reader."""
    if argument.default is REQUIRED:
        return "required"
    shown = argument.default
    shown = ",".join(map(str, shown)) if isinstance(shown, tuple) else shown
    return "default: none" if shown in (None, "") else f"default: {shown}"


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, 96, initial_indent="      ", subsequent_indent="      ")


def _tensorflow() -> str:
    """TensorFlow's version, whichever of its packages is installed."""
    for package in _TENSORFLOW_PACKAGES:
        try:
            return f"TensorFlow {importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return "no TensorFlow"
