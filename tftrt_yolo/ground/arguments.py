"""Arguments of the public functions: how a message names them, and those that belong together.

    raise ValueError(f"{argument('batch_size')} is 0; it must be a whole number of at least 1.")
    raise FileExistsError(f"{path} exists already. Pass {setting('overwrite')} to replace it.")

Python's users read `batch_size` and `overwrite=True`, those of the command line `--batch_size` and `--overwrite`.
"""

import contextlib
import dataclasses
import math
import numbers
import operator
import os
from collections.abc import Iterator, Mapping
from typing import ClassVar

from tftrt_yolo.ground.text import listed, quoted, unwrapped

MOST_IN_A_BATCH = 65_536  # images; of a size that is built or compiled
_AS_FLAGS = "TFTRT_YOLO_ARGUMENTS_AS_FLAGS"  # in the environment, so that workers' messages agree


@contextlib.contextmanager
def named_as_flags() -> Iterator[None]:
    """Has messages name arguments as flags, here and in the processes that start meanwhile."""
    before = os.environ.get(_AS_FLAGS)
    os.environ[_AS_FLAGS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_AS_FLAGS]
        else:
            os.environ[_AS_FLAGS] = before


@contextlib.contextmanager
def named_plainly() -> Iterator[None]:
    """Has messages name arguments as Python does, whoever started the process: for requests, which give no flags."""
    before = os.environ.pop(_AS_FLAGS, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_AS_FLAGS] = before


def argument(name: str) -> str:
    """An argument's name for a message.

    Args:
      name: The argument's, or the option's in a dataclass of options.

    Returns:
      The name, or the flag.
    """
    return f"--{name}" if os.environ.get(_AS_FLAGS) else name


def setting(name: str, value: object = True) -> str:
    """An argument with its value, for a message that advises it.

    Args:
      name: As `argument`.
      value: The value.

    Returns:
      `overwrite=True` or `--overwrite`, `calibration='tensorrt'` or `--calibration=tensorrt`.
    """
    if not os.environ.get(_AS_FLAGS):
        return f"{name}={value!r}"
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"


def whole_number(value: object) -> int | None:
    """A whole number of any kind, such as NumPy's, as Python's own: what reports and metadata are written from.

    Args:
      value: Anything.

    Returns:
      The number; None for what is none, and for a bool.
    """
    if isinstance(value, bool) or str(getattr(value, "dtype", "")) == "bool":
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def number(value: object) -> float | None:
    """A number of any kind as a float.

    Args:
      value: Anything.

    Returns:
      The number, infinite where it is too large for a float; None for what is none, and for a bool.
    """
    value = unwrapped(value)
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_at_least_one(name: str, value: object) -> int:
    """Refuses an argument that is not a whole number of at least 1.

    Args:
      name: Name of the argument, for the message.
      value: What was given.

    Returns:
      The number, as Python's own.

    Raises:
      ValueError: If value is no whole number, a bool, or less than 1.
    """
    whole = whole_number(value)
    if whole is None or whole < 1:
        raise ValueError(f"{argument(name)} is {quoted(value)}; it must be a whole number of at least 1.")
    return whole


def check_share(name: str, value: object) -> float:
    """Refuses an argument that is not a number between 0 and 1.

    Args:
      name: Name of the argument, for the message.
      value: What was given.

    Returns:
      The number, as Python's own.

    Raises:
      ValueError: If value is no number, a bool, NaN, or lies outside.
    """
    share = number(value)
    if share is None or not 0 <= share <= 1:
        raise ValueError(f"{argument(name)} is {quoted(value)}; it must be a number between 0 and 1.")
    return share


def check_bool(name: str, value: object) -> bool:
    """Refuses an argument that is neither True nor False.

    Args:
      name: Name of the argument, for the message.
      value: What was given; NumPy's are taken.

    Returns:
      The value, as Python's own.

    Raises:
      ValueError: If it is something else.
    """
    if isinstance(value, bool) or (str(getattr(value, "dtype", "")) == "bool" and getattr(value, "ndim", 1) == 0):
        return bool(value)
    raise ValueError(f"{argument(name)} is {quoted(value)}; it must be True or False.")


def check_batch_sizes(batch_sizes: object) -> tuple[int, ...]:
    """Refuses an argument `batch_sizes` that is not one or more whole numbers of at least 1.

    Args:
      batch_sizes: What was given.

    Returns:
      The numbers, as Python's own, in their order.

    Raises:
      ValueError: If it is no list of whole numbers, is empty, or has one below 1 or above `MOST_IN_A_BATCH`.
    """
    try:
        sizes = tuple(map(whole_number, batch_sizes))
    except TypeError:  # one number, not several
        sizes = (None,)
    if None in sizes:
        raise ValueError(f"{argument('batch_sizes')} is {batch_sizes!r}; expected whole numbers, such as (1, 8).")
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"{argument('batch_sizes')} is {batch_sizes!r}; expected one or more whole numbers of at least 1."
        )
    if max(sizes) > MOST_IN_A_BATCH:
        raise ValueError(
            f"{argument('batch_sizes')} has {quoted(max(sizes))}; expected at most {MOST_IN_A_BATCH:,}, which no "
            "device holds. Larger batches need no size of their own."
        )
    return sizes


class Options:
    """Base of frozen, keyword-only dataclasses of options that belong together; on the command line each is a flag.

    Two of them may have an option of the same name if they are never meant together: then it is one flag, for the one
    that is meant.

    Attributes:
      MEANT_WITH: Names of the function's other arguments to the values with which these options are meant.
      given: Names of those that the caller gave, whatever their values. Copies and pickles keep it;
        `dataclasses.replace` gives every one, for it calls the constructor with all of them.
    """

    MEANT_WITH: ClassVar[dict[str, tuple[str, ...]]] = {}
    given: tuple[str, ...]

    @classmethod
    def is_meant_with(cls, arguments: Mapping[str, object]) -> bool:
        """Whether these options are meant, by what a function's other arguments are, given or not."""
        return all(arguments.get(name) in values for name, values in cls.MEANT_WITH.items())

    @classmethod
    def check_is(cls, name: str, value: object) -> None:
        """Refuses an argument that is something else than these options.

        Args:
          name: Name of the argument, for the message.
          value: What was given; None for nothing.

        Raises:
          TypeError: If it is neither None nor these options.
        """
        if value is not None and not isinstance(value, cls):
            first = dataclasses.fields(cls)[0].name
            raise TypeError(
                f"{argument(name)} is {quoted(value)}; expected {cls.__name__}, such as "
                f"{name}={cls.__name__}({first}=...)."
            )

    def __new__(cls, **given):
        """Remembers what is given."""
        options = super().__new__(cls)
        object.__setattr__(options, "given", tuple(given))  # the dataclass is frozen
        return options

    def refuse(self, owner: str, found: str) -> None:
        """Refuses what was given, by name and whatever its value.

        Args:
          owner: What alone they are for.
          found: What they were given with.

        Raises:
          ValueError: Always.
        """
        names = [argument(name) for name in self.given] or [f"{type(self).__name__}()"]
        verb, it = ("are", "them") if len(names) > 1 else ("is", "it")
        raise ValueError(f"{listed(names)} {verb} for {owner}, and {found}. Leave {it} out.")
