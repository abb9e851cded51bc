"""Flags: a command's arguments as absl's flags, and what was given of them, here or in a config file.

given = parse("convert", arguments, ["--config=configs/digits_int8.py", "--batch_sizes=1,8"])
given.values                                           # name to value of what was given, flags over the config
given.as_json
"""

import dataclasses
import os
import re
import typing
from collections.abc import Iterable

from absl import flags

from tftrt_yolo.cli.configs import load_config
from tftrt_yolo.cli.signatures import REQUIRED, Argument
from tftrt_yolo.predictor.spelling import OTHER_VALUES, meant, of_ultralytics


@dataclasses.dataclass(frozen=True)
class Given:
    """What a command was given.

    Attributes:
      values: Name of each argument that was given, as a flag or in the config, to its value.
      as_json: Whether the report is to be JSON.
      wants_help: Whether the command's help is asked for; then nothing else was looked at.
    """

    values: dict[str, object]
    as_json: bool = False
    wants_help: bool = False


def parse(command: str, arguments: tuple[Argument, ...], command_line: list[str], *, plain: str | None = None) -> Given:
    """Reads a command's flags, and its config.

    Args:
      command: The command, which is also the config's section.
      arguments: What it can be given.
      command_line: What stands behind it.
      plain: The argument that may stand there without its name; None for none.

    Returns:
      What was given.

    Raises:
      absl.flags.Error: If a flag is unknown, malformed or missing.
      ValueError: If the config cannot be used.
    """
    values = _define_flags(arguments)
    try:
        rest = values([command, *command_line], known_only=False)[1:]
    except flags.UnrecognizedFlagError as error:
        raise flags.Error(
            f"Unknown command line flag '{error.flagname}'.{meant(error.flagname, values, prefix='--')} "
            f"`tftrt-yolo {command} --help` lists the known."
        ) from error
    if values.help:
        return Given({}, wants_help=True)
    _refuse_repetition(values)
    flat = {argument.name: values[argument.name].value for argument in arguments if values[argument.name].present}
    for word in rest:
        _refuse_assignment(word, values)
    if rest and plain:
        flat[plain] = _plain_argument(plain, rest.pop(0), flat)
    if rest:
        raise flags.Error(f"'{rest[0]}' is no flag; write --name=value.")
    if values.config is not None:
        flat = _section(values.config, command, arguments) | flat
    for argument in arguments:
        if argument.default is REQUIRED and argument.name not in flat:
            raise flags.Error(f"--{argument.name} is missing: {argument.help}")
    return Given(
        {argument.name: _of_type(argument, flat[argument.name]) for argument in arguments if argument.name in flat},
        as_json=values.json,
    )


def _refuse_repetition(values: flags.FlagValues) -> None:
    """Refuses a flag that is given more than once, of which absl takes the last."""
    for name in values:
        if values[name].present > 1:
            raise flags.Error(
                f"--{name} is given {values[name].present} times, the last time as {values[name].value!r}; expected it "
                "once. Leave the others out."
            )


def _refuse_assignment(word: str, known: Iterable[str]) -> None:
    """Refuses `conf=0.5`, as Ultralytics' own command line takes it; a directory that is there may have any name."""
    name, is_assignment, value = word.partition("=")
    if not is_assignment or not name.isidentifier() or os.path.exists(word):
        return
    if name in known:
        raise flags.Error(f"'{word}' is no flag; write --{word}.")
    ours = of_ultralytics(name, known)
    if ours is None:
        raise flags.Error(f"'{word}' is no flag; write --name=value.{meant(name, known, prefix='--')}")
    shown = "..." if name in OTHER_VALUES else value
    raise flags.Error(f"'{word}' is no flag. Ultralytics' {name} is --{ours} here; write --{ours}={shown}.")


def _plain_argument(name: str, value: str, flat: dict) -> str:
    """An argument that was given without its name; refused if it was also given with it."""
    if name in flat:
        raise flags.Error(f"'{value}' and --{name}={flat[name]} are given, and both are {name}. Leave one of them out.")
    return value


def _section(path: str, command: str, arguments: tuple[Argument, ...]) -> dict:
    """The command's section of a config; empty if it has none."""
    section = load_config(path).get(command, {})
    known = [argument.name for argument in arguments]
    unknown = sorted(set(section) - set(known))
    if unknown:
        raise flags.Error(
            f"the config's section '{command}' has {unknown[0]!r}, which is no argument of {command}."
            f"{meant(unknown[0], known)}"
        )
    return section


def _of_type(argument: Argument, value: object) -> object:
    """Several values as the argument takes them: a tuple, or the number itself where one number will do."""
    if not isinstance(value, list) or not any(map(_is_tuple, argument.kinds)):
        return value
    return value[0] if len(value) == 1 and int in argument.kinds else tuple(value)


def _define_flags(arguments: tuple[Argument, ...]) -> flags.FlagValues:
    """All flags of a command."""
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow a plain argument
    for argument in arguments:
        _define_flag(argument, values)
    flags.DEFINE_string(
        "config", None, "A Python file with get_config(); it is run, so give none of a stranger.", flag_values=values
    )
    flags.DEFINE_boolean("json", False, "Prints the report as JSON.", flag_values=values)
    flags.DEFINE_boolean("help", False, "Shows the help.", short_name="h", flag_values=values)
    return values


def _define_flag(argument: Argument, values: flags.FlagValues) -> None:
    """Defines the flag whose type is the argument's annotation."""
    default = None if argument.default is REQUIRED else argument.default
    if tuple[int | str, ...] in argument.kinds:
        flag = flags.Flag(_NumbersAndNames(), flags.CsvListSerializer(","), argument.name, default, argument.help)
        flags.DEFINE_flag(flag, flag_values=values)
    elif tuple[str, ...] in argument.kinds:
        flags.DEFINE_list(argument.name, default, argument.help, flag_values=values)
    elif any(map(_is_tuple, argument.kinds)):
        if default is not None:
            default = [str(item) for item in (default if isinstance(default, tuple) else (default,))]
        flag = flags.Flag(_WholeNumbers(), flags.CsvListSerializer(","), argument.name, default, argument.help)
        flags.DEFINE_flag(flag, flag_values=values)
    elif str in argument.kinds:  # which may be a number as well
        flags.DEFINE_string(argument.name, default, argument.help, flag_values=values)
    elif bool in argument.kinds:
        flags.DEFINE_boolean(argument.name, default, argument.help, flag_values=values)
    elif int in argument.kinds:
        flags.DEFINE_integer(argument.name, default, argument.help, flag_values=values)
    elif float in argument.kinds:
        flags.DEFINE_float(argument.name, default, argument.help, flag_values=values)
    else:
        default = None if default is None else str(default)
        flags.DEFINE_string(argument.name, default, argument.help, flag_values=values)


class _WholeNumbers(flags.ListParser):
    """Whole numbers, separated by commas: --batch_sizes=1,8 or --image_size=480,640."""

    def parse(self, argument):
        """Reads the numbers."""
        try:
            return [int(item) for item in super().parse(argument)]
        except ValueError as error:
            raise ValueError(f"{argument!r} is not a list of whole numbers such as 1,8") from error


class _NumbersAndNames(flags.ListParser):
    """Several values separated by commas, each a whole number or else a name."""

    def parse(self, argument):
        """Reads the values."""
        return [int(item) if re.fullmatch(r"[+-]?\d{1,18}", item) else item for item in super().parse(argument)]


def _is_tuple(annotation: object) -> bool:
    """Whether a type is a tuple."""
    return typing.get_origin(annotation) is tuple
