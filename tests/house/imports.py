"""Which module of a package needs which other: imports, late imports, and strings that are imported when the code runs.

    found = find_imports(modules)
    print([(i.importer, i.imported, i.line) for i in found if i.kind == "late"])
    for circle in circles(found, kinds=EVERY_KIND):
        print(shortest_ring(found, circle, kinds=EVERY_KIND))

As for import-linter, `from package.room import leaf` needs `package.room.leaf` alone if there is such a module, not
also the `__init__` of the rooms above it.
"""

import ast
import dataclasses
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping

from tests.house.source import FunctionNode, Module, docstrings

EARLY, LATE, STRING, FACADE = "early", "late", "string", "facade"
STATEMENTS = (EARLY, LATE)
EVERY_KIND = (EARLY, LATE, STRING, FACADE)


@dataclasses.dataclass(frozen=True)
class Import:
    """A module that needs another.

    Attributes:
      importer: Dotted name of the module that needs.
      imported: Dotted name of what it needs; a string may name what does not exist.
      line: Where, in the importer's file.
      kind: EARLY when the importer itself is imported, LATE inside a function, STRING for a string that is the dotted
        name of a module (what a worker's process imports), FACADE for a row of the package's table of public names.
    """

    importer: str
    imported: str
    line: int
    kind: str

    def __str__(self) -> str:
        """Both names and the line."""
        return f"{self.importer}:{self.line} -> {self.imported}"


def find_imports(modules: Mapping[str, Module]) -> list[Import]:
    """Every place where a module of a package names another.

    Args:
      modules: The package's modules by dotted name.

    Returns:
      One for each name of each import statement, one for each string; a string that names a room counts for each module
      of the room too, as in `f"{RUNNERS}.{name}"`. A module that names itself is left out.
    """
    package = next(iter(modules)).partition(".")[0]
    found = []
    for module in modules.values():
        found += _statements(module, module.tree, modules, kind=EARLY)
        for string in _strings(module, package):
            inside = [name for name, other in modules.items() if other.room == string.imported]
            found += [string, *(dataclasses.replace(string, imported=name) for name in inside)]
        if module.name == package:
            found += [
                Import(package, home, line, FACADE) for home, line in facade_table(module).values() if home != package
            ]
    return list(dict.fromkeys(i for i in found if i.importer != i.imported))


def facade_table(module: Module) -> dict[str, tuple[str, int]]:
    """The table of a lazy façade: a dictionary of strings to strings at the top level of the package's `__init__.py`.

    Args:
      module: The package's `__init__.py`.

    Returns:
      Public name to the dotted name of its module and the line that says so.
    """
    table = {}
    for statement in module.tree.body:
        value = getattr(statement, "value", None)
        if isinstance(value, ast.Dict) and all(_is_string(node) for node in [*value.keys, *value.values]):
            for name, home in zip(value.keys, value.values, strict=True):
                path = home.value.removeprefix(f"{module.name}.").lstrip(".")
                table[name.value] = (f"{module.name}.{path}", home.lineno)
    return table


def late_statements(imports: Iterable[Import]) -> list[tuple[str, int]]:
    """Module and line of every import statement inside a function that imports from the package itself."""
    return sorted({(i.importer, i.line) for i in imports if i.kind == LATE})


def imported_from(module: Module, name: str) -> str | None:
    """Dotted name of what a module imports under a name at its top level; None if it imports nothing so."""
    for statement in module.tree.body:
        if isinstance(statement, ast.ImportFrom):
            for alias, origin in zip(statement.names, _imported_names(module, statement), strict=True):
                if (alias.asname or alias.name) == name:
                    return origin
    return None


def circles(imports: Iterable[Import], *, kinds: Collection[str]) -> list[list[str]]:
    """The import circles of a package.

    Args:
      imports: What `find_imports` gave.
      kinds: The kinds of import that count.

    Returns:
      The strongly connected components of more than one module, the largest first: each module of one reaches each
      other one of it.
    """
    graph = _graph(imports, kinds)
    reached = {name: _reached(graph, name) for name in graph}
    components = {
        tuple(sorted(other for other in reached[name] if name in reached.get(other, ()))) for name in sorted(graph)
    }
    return sorted((list(c) for c in components if len(c) > 1), key=lambda circle: (-len(circle), circle))


def shortest_ring(imports: Iterable[Import], circle: Collection[str], *, kinds: Collection[str]) -> list[Import]:
    """The shortest way round a circle.

    Args:
      imports: What `find_imports` gave.
      circle: One that `circles` gave.
      kinds: As for `circles`.

    Returns:
      The imports of the ring: each one's importer is what the one before imported.
    """
    steps: dict[str, list[Import]] = {name: [] for name in circle}
    for found in imports:
        if found.kind in kinds and found.importer in steps and found.imported in steps:
            steps[found.importer].append(found)
    return min((_way_back(steps, start) for start in sorted(circle)), key=len)


def _way_back(steps: Mapping[str, list[Import]], start: str) -> list[Import]:
    """The shortest way from a module of a circle to itself, breadth first."""
    ways: dict[str, list[Import]] = {start: []}
    queue = deque([start])
    while True:
        name = queue.popleft()
        for step in steps[name]:
            if step.imported == start:
                return [*ways[name], step]
            if step.imported not in ways:
                ways[step.imported] = [*ways[name], step]
                queue.append(step.imported)


def _statements(module: Module, node: ast.AST, modules: Mapping[str, Module], *, kind: str) -> Iterator[Import]:
    """What import statements below a node import from the package."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            for name in _imported_names(module, child):
                home = _home(name, modules)
                if home is not None:
                    yield Import(module.name, home, child.lineno, kind)
        else:
            inner = LATE if isinstance(child, FunctionNode) else kind
            yield from _statements(module, child, modules, kind=inner)


def _imported_names(module: Module, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that a statement imports, relative ones made absolute; each may be a module or what is in one."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        room = module.room.split(".")
        base = ".".join([*room[: len(room) - node.level + 1], *filter(None, [node.module])])
    return [base if alias.name == "*" else f"{base}.{alias.name}" for alias in node.names]


def _home(name: str, modules: Mapping[str, Module]) -> str | None:
    """The module that a dotted name is or is in; None for another package's."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def _strings(module: Module, package: str) -> list[Import]:
    """Strings that are the dotted name of a module: "package.room.leaf", or "package.room" if leaf is added later."""
    pattern = re.compile(rf"{package}(\.[a-z_][a-z0-9_]*)+\.?")  # a last dot: the start of an f-string
    documentation = set(map(id, docstrings(module.tree)))
    return [
        Import(module.name, node.value.rstrip("."), node.lineno, STRING)
        for node in ast.walk(module.tree)
        if _is_string(node) and id(node) not in documentation and pattern.fullmatch(node.value)
    ]


def _is_string(node: ast.AST | None) -> bool:
    """Whether a node is a plain string."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _graph(imports: Iterable[Import], kinds: Collection[str]) -> dict[str, set[str]]:
    """Importer to what it imports."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.kind in kinds:
            graph.setdefault(found.importer, set()).add(found.imported)
    return graph


def _reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Every module that one needs, directly or through others; itself if it stands in a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        for name in graph.get(waiting.pop(), set()) - reached:
            reached.add(name)
            waiting.append(name)
    return reached
