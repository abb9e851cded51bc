"""What the command line says about itself: its commands, a command's flags, and the version."""

import importlib.metadata
import inspect
import platform
import textwrap
from collections.abc import Callable

from tftrt_yolo.cli.commands import ALIASES, COMMANDS
from tftrt_yolo.cli.signatures import REQUIRED, Argument
from tftrt_yolo.ground.version import __version__

_WIDTH = max(map(len, COMMANDS)) + 2
USAGE = (
    "Usage: tftrt-yolo COMMAND [--flag=value ...]\n\n"
    + "\n".join(f"  {name:<{_WIDTH}}{command.summary}" for name, command in COMMANDS.items())
    + f"\n\n{', '.join(f'{short} is short for {name}' for short, name in ALIASES.items())}."
    + "\n\n`tftrt-yolo COMMAND --help`, or `tftrt-yolo help COMMAND`, lists a command's flags. --config=FILE.py gives "
    "them\nfrom a file's section, and --json prints the report as JSON. `tftrt-yolo --version` shows the versions."
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
