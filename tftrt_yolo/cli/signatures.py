"""What a command can be given: its function's arguments, and the fields of its dataclasses of options among them.

    for argument in arguments_of(tftrt_yolo.convert):
        argument.name, argument.default, argument.help     # "batch_sizes", (1,), "Batch sizes that engines ..."
    keywords = as_keywords(arguments, {"saved_model_dir": "a", "batch_sizes": (1, 8)})
    keywords                                               # saved_model_dir="a", tensorrt=TensorRTOptions(...)

Names, types, defaults and descriptions are read from signatures, fields and docstrings; none is written twice.
"""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterator

from tftrt_yolo.ground.arguments import Options

REQUIRED = inspect.Parameter.empty  # the default of an argument that has none
OWN_FLAGS = ("config", "json", "help", "h")  # the command line's, of every command


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a public function, or one field of its options, as a flag.

    Attributes:
      name: Its name.
      annotation: Its type.
      default: What it is where it is not given; REQUIRED if it must be.
      help: Its description.
      parameter: The function's parameter that takes it: its own name, or that of the dataclass of options.
      options: The dataclass; None for an argument of the function itself.
      others: The fields of the same name of other dataclasses, which are never meant together with this one.
    """

    name: str
    annotation: object
    default: object
    help: str
    parameter: str
    options: type[Options] | None = None
    others: tuple["Argument", ...] = ()

    def meant_with(self, values: dict) -> "Argument":
        """Itself, or that of the others which is meant by what the function's other arguments are."""
        if self.others:
            return next((one for one in (self, *self.others) if one.options.is_meant_with(values)), self)
        return self

    @property
    def kinds(self) -> tuple:
        """The members of its type where that is a union; otherwise the type itself."""
        return kinds(self.annotation)


def kinds(annotation: object) -> tuple:
    """The members of a union, in either spelling; of another type, itself."""
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def arguments_of(function: Callable) -> tuple[Argument, ...]:
    """A function's arguments that can be flags.

    Args:
      function: A public function.

    Returns:
      The arguments in its order, a dataclass of options replaced by its fields. Fields of one name that are never meant
      together are one argument, with the default of the first and the descriptions of all.

    Raises:
      TypeError: If two of them, or one and a flag of every command, have the same name.
    """
    descriptions, hints = _descriptions(function, "Args"), typing.get_type_hints(function)
    found = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name.startswith("on_"):  # callbacks are the command line's own
            continue
        options = _options_of(hints[name])
        if options:
            found += _fields_of(name, options)
        else:
            found.append(Argument(name, hints[name], parameter.default, descriptions[name], name))
    found = _joined(found)
    _check_names(function.__name__, found)
    return tuple(found)


def as_keywords(arguments: tuple[Argument, ...], given: dict) -> dict:
    """Turns what was given into keyword arguments; options are built of what was given alone.

    Args:
      arguments: What `arguments_of` found.
      given: Name to value.

    Returns:
      The function's keyword arguments.

    Raises:
      ValueError: If a dataclass of options refuses a value.
      TypeError: If it does for its type.
    """
    keywords, fields, classes = {}, {}, {}
    values = {argument.name: argument.default for argument in arguments} | given
    for argument in arguments:
        if argument.name not in given:
            continue
        argument = argument.meant_with(values)
        if argument.options is None:
            keywords[argument.name] = given[argument.name]
        else:
            fields.setdefault(argument.parameter, {})[argument.name] = given[argument.name]
            classes[argument.parameter] = argument.options
    return keywords | {parameter: classes[parameter](**of) for parameter, of in fields.items()}


def _options_of(annotation: object) -> type[Options] | None:
    """The dataclass of options that an argument takes; None for another argument."""
    classes = (kind for kind in kinds(annotation) if typing.get_origin(kind) is None and isinstance(kind, type))
    return next((kind for kind in classes if issubclass(kind, Options)), None)


def _fields_of(parameter: str, options: type[Options]) -> Iterator[Argument]:
    """The fields of a dataclass of options."""
    descriptions, hints = {}, typing.get_type_hints(options)
    for documented in reversed(options.__mro__[:-1]):  # what it inherits is described there
        descriptions |= _descriptions(documented, "Attributes") if documented.__doc__ else {}
    for field in dataclasses.fields(options):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if default is dataclasses.MISSING:
            default = REQUIRED
        yield Argument(field.name, hints[field.name], default, descriptions[field.name], parameter, options)


def _joined(found: list[Argument]) -> list[Argument]:
    """The same with one argument in the place of those that have one name and are never meant together."""
    by_name = {}
    for argument in found:
        first = by_name.get(argument.name)
        if first is None:
            by_name[argument.name] = argument
        elif not _are_never_meant_together([first, *first.others, argument]):
            return found  # the check of the names says which
        else:
            by_name[argument.name] = dataclasses.replace(
                first, help=f"{first.help} {argument.help}", others=(*first.others, argument)
            )
    return list(by_name.values())


def _are_never_meant_together(arguments: list[Argument]) -> bool:
    """Whether another argument's value always decides for one of these, and all are given in the same form."""
    if not all(argument.options and argument.options.MEANT_WITH for argument in arguments):
        return False
    *earlier, last = arguments
    forms = [{kind for kind in argument.kinds if kind is not types.NoneType} for argument in arguments]
    return forms.count(forms[0]) == len(forms) and all(
        any(
            not set(values) & set(last.options.MEANT_WITH.get(name, values))
            for name, values in one.options.MEANT_WITH.items()
        )
        for one in earlier
    )


def _descriptions(documented: object, title: str) -> dict[str, str]:
    """Name to description, from a section of a docstring in Google's form."""
    section = re.search(rf"\n\s*{title}:\n(.*?)(\n\s*\n|$)", inspect.getdoc(documented) + "\n\n", re.DOTALL)
    entries = re.finditer(r"^  (\w+): (.*?)(?=^  \w+: |\Z)", section[1] + "\n" if section else "", re.DOTALL | re.M)
    return {entry[1]: " ".join(entry[2].split()) for entry in entries}


def _check_names(command: str, arguments: list[Argument]) -> None:
    """Refuses two flags of one name, which only somebody who writes a function or its options can bring about."""
    owner_of = dict.fromkeys(OWN_FLAGS, "the command line")
    for argument in arguments:
        owner = argument.options.__name__ if argument.options else f"{command}()"
        if argument.name in owner_of:
            raise TypeError(
                f"--{argument.name} of `{command}` is of {owner_of[argument.name]} and of {owner}. Rename one of them."
            )
        owner_of[argument.name] = owner
