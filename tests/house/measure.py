"""The shape of a package, measured: rooms, lines, bodies, parameters, import circles, repeated blocks.

    shape = measure(Path("tftrt_yolo"))
    print(shape.files.long, shape.imports.circles)

A room is a folder with modules; the package's top level is one. `source`, `imports`, `public` and `repeats` find what
is counted here; `shape` prints it, and `test_shape` holds the package to the limits below.
"""

import ast
import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.house import imports, repeats
from tests.house.public import Definitions, listed_functions
from tests.house.source import Module, body_lines, definitions, num_parameters, read_package

MAX_FILES_A_ROOM = 12
MAX_LINES_A_FILE = 400
MAX_LINES_A_BODY = 45
MAX_PARAMETERS = 9


@dataclasses.dataclass(frozen=True)
class Room:
    """A folder with modules, without the rooms inside it.

    Attributes:
      num_files: Its `.py` files, `__init__.py` among them.
      num_lines: Their lines.
      num_code_lines: Those that are not blank, comment or docstring.
    """

    num_files: int
    num_lines: int
    num_code_lines: int


@dataclasses.dataclass(frozen=True)
class Files:
    """What the files are like.

    Attributes:
      rooms: Dotted name to room.
      total: All rooms together.
      crowded: Rooms of more than 12 files, and how many.
      long: Modules of more than 400 lines, and how many.
      longest: The longest module and its lines.
      init_code_share: Share of the package's code lines that stands in `__init__.py` files.
      init_code: Statements in `__init__.py` files that are no docstring, import or `__all__`, "module:line". The
        package's own may have assignments, `if TYPE_CHECKING`, `__getattr__` and `__dir__` too.
      same_names: File names that stand in more than one room, and the rooms; `__init__.py` does not count.
    """

    rooms: dict[str, Room]
    total: Room
    crowded: dict[str, int]
    long: dict[str, int]
    longest: tuple[str, int]
    init_code_share: float
    init_code: list[str]
    same_names: dict[str, list[str]]


@dataclasses.dataclass(frozen=True)
class Functions:
    """What the functions are like.

    Attributes:
      count: Functions and methods, those inside of functions among them.
      body_lines_percentiles: 50, 90, 97 and 100 to the length of bodies in lines; see `source.body_lines`.
      longest: The one of the longest body.
      long: Those whose body has more than 45 lines, and how many; the longest first.
      parameters: The functions and classes that `__all__` lists, and how many parameters they (a class: its
        `__init__`) take; the most first.
      public_parameters: The same for every function, method and `__init__` without an underscore before its name or
        its class's.
    """

    count: int
    body_lines_percentiles: dict[int, float]
    longest: str
    long: dict[str, int]
    parameters: dict[str, int]
    public_parameters: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Imports:
    """How the modules hang together.

    Attributes:
      late: Import statements inside of functions that import from the package, "module:line".
      early_circles: Modules that need each other to be imported, a list a circle.
      circles: The same with late imports.
      circles_with_strings: The same with strings that name modules and with the table of public names.
    """

    late: list[str]
    early_circles: list[list[str]]
    circles: list[list[str]]
    circles_with_strings: list[list[str]]


@dataclasses.dataclass(frozen=True)
class Names:
    """What the names are like.

    Attributes:
      same_classes: Class names that are defined more than once, and the modules.
      num_public: Modules, and classes, functions and methods that are public.
      undocumented: Those of them that have no docstring.
      documented_share: Share of the public names that has one.
    """

    same_classes: dict[str, list[str]]
    num_public: int
    undocumented: list[str]
    documented_share: float


@dataclasses.dataclass(frozen=True)
class Repeated:
    """What stands there twice.

    Attributes:
      pairs: Pairs of places where the same six or more lines of code stand, "module:lines = module:lines".
      num_lines: Lines of code that stand in one of those places or more.
    """

    pairs: list[str]
    num_lines: int


@dataclasses.dataclass(frozen=True)
class Shape:
    """What was counted; names are dotted, the package's first."""

    package: str
    files: Files
    functions: Functions
    imports: Imports
    names: Names
    repeated: Repeated


def measure(package_dir: Path) -> Shape:
    """Counts the shape of a package.

    Args:
      package_dir: The package's folder.

    Returns:
      What was counted.

    Raises:
      ValueError: If there is no module in the folder.
    """
    modules = read_package(package_dir)
    package = package_dir.resolve().name
    defined = {name: definitions(module) for name, module in modules.items()}
    found = repeats.repeats(modules.values())
    return Shape(
        package=package,
        files=_files(modules, package),
        functions=_functions(modules, defined, package),
        imports=_imports(modules),
        names=_names(modules, defined),
        repeated=Repeated([str(pair) for pair in found], len(repeats.repeated_lines(found))),
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """What a share of the values does not exceed, interpolated linearly as by `numpy.percentile`."""
    ordered = sorted(values)
    rank = (len(ordered) - 1) * percent / 100
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


def _files(modules: Mapping[str, Module], package: str) -> Files:
    """Counts rooms and lines."""
    members = defaultdict(list)
    rooms_of = defaultdict(list)
    for module in modules.values():
        members[module.room].append(module)
        if not module.is_init:
            rooms_of[module.path.name].append(module.room)
    lines = {name: module.text.count("\n") for name, module in modules.items()}
    rooms = {
        room: Room(len(inside), sum(lines[m.name] for m in inside), sum(len(m.code) for m in inside))
        for room, inside in sorted(members.items())
    }
    total = Room(*(sum(column) for column in zip(*map(dataclasses.astuple, rooms.values()), strict=True)))
    return Files(
        rooms=rooms,
        total=total,
        crowded={name: room.num_files for name, room in rooms.items() if room.num_files > MAX_FILES_A_ROOM},
        long=_largest_first({name: count for name, count in lines.items() if count > MAX_LINES_A_FILE}),
        longest=max(lines.items(), key=lambda item: item[1]),
        init_code_share=sum(len(module.code) for module in modules.values() if module.is_init) / total.num_code_lines,
        init_code=[place for module in modules.values() if module.is_init for place in _init_code(module, package)],
        same_names={name: rooms for name, rooms in sorted(rooms_of.items()) if len(rooms) > 1},
    )


def _init_code(module: Module, package: str) -> list[str]:
    """Statements of an `__init__.py` that are more than its docstring, imports and names."""
    return [
        f"{module.name}:{statement.lineno}"
        for statement in module.tree.body
        if not (_is_door_plate(statement) or (module.name == package and _is_facade(statement)))
    ]


def _is_door_plate(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, an import or `__all__`."""
    if isinstance(statement, ast.Assign):
        return [ast.unparse(target) for target in statement.targets] == ["__all__"]
    is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_docstring or isinstance(statement, ast.Import | ast.ImportFrom)


def _is_facade(statement: ast.stmt) -> bool:
    """Whether a statement is what a façade whose names are loaded lazily is made of."""
    if isinstance(statement, ast.If):
        return ast.unparse(statement.test).endswith("TYPE_CHECKING") and all(map(_is_door_plate, statement.body))
    is_hook = isinstance(statement, ast.FunctionDef) and statement.name in ("__getattr__", "__dir__")
    return is_hook or isinstance(statement, ast.Assign | ast.AnnAssign)


def _functions(modules: Mapping[str, Module], defined: Definitions, package: str) -> Functions:
    """Counts bodies and parameters."""
    functions = [(modules[name], d) for name, inside in defined.items() for d in inside if d.is_function]
    bodies = [(d.name, body_lines(module, d.node)) for module, d in functions]
    lengths = [length for _, length in bodies] or [0]
    public = {d.name: num_parameters(d) for _, d in functions if d.is_public or d.is_public_constructor}
    listed = listed_functions(modules, defined, package)
    return Functions(
        count=len(functions),
        body_lines_percentiles={percent: round(percentile(lengths, percent), 1) for percent in (50, 90, 97, 100)},
        longest=max(bodies, key=lambda body: body[1], default=("", 0))[0],
        long=_largest_first({name: length for name, length in bodies if length > MAX_LINES_A_BODY}),
        parameters=_largest_first({name: public[name] for name in listed}),
        public_parameters=_largest_first(public),
    )


def _imports(modules: Mapping[str, Module]) -> Imports:
    """Counts late imports and circles."""
    found = imports.find_imports(modules)
    return Imports(
        late=[f"{name}:{line}" for name, line in imports.late_statements(found)],
        early_circles=imports.circles(found, kinds=(imports.EARLY,)),
        circles=imports.circles(found, kinds=imports.STATEMENTS),
        circles_with_strings=imports.circles(found, kinds=imports.EVERY_KIND),
    )


def _names(modules: Mapping[str, Module], defined: Definitions) -> Names:
    """Counts class names and docstrings."""
    homes = defaultdict(list)
    public: dict[str, ast.AST] = {name: module.tree for name, module in modules.items()}
    for name, inside in defined.items():
        for definition in inside:
            if not definition.is_function:
                homes[definition.node.name].append(name)
            if definition.is_public:
                public.setdefault(definition.name, definition.node)  # a property's setter has no docstring of its own
    undocumented = sorted(name for name, node in public.items() if not ast.get_docstring(node, clean=False))
    return Names(
        same_classes={name: places for name, places in sorted(homes.items()) if len(places) > 1},
        num_public=len(public),
        undocumented=undocumented,
        documented_share=1 - len(undocumented) / len(public),
    )


def _largest_first(counts: Mapping[str, int]) -> dict[str, int]:
    """The same, the largest count first."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
