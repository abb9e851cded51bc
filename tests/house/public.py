"""What a package shows to its users: the functions and classes that its `__all__` lists, wherever they are defined.

    print(listed_functions(modules, {name: definitions(module) for name, module in modules.items()}, "tftrt_yolo"))

Found by reading alone: through the table of a lazy façade and through the imports of the rooms' `__init__.py` files.
"""

import ast
from collections.abc import Mapping

from tests.house.imports import facade_table, imported_from
from tests.house.source import Definition, Module

Definitions = Mapping[str, list[Definition]]  # by the dotted name of their module
_MAX_DOORS = 10  # `__init__.py` files on the way from a public name to where it is defined


def listed_functions(modules: Mapping[str, Module], defined: Definitions, package: str) -> list[str]:
    """Dotted names of what can be called.

    Args:
      modules: The package's modules by dotted name.
      defined: What each of them defines.
      package: The package's name.

    Returns:
      A function as itself, a class as its `__init__` if that is written out: a dataclass's fields are no parameters.
    """
    if package not in modules:
        return []
    functions = {definition.name for inside in defined.values() for definition in inside if definition.is_function}
    table = facade_table(modules[package])
    names = []
    for name in listed_names(modules[package]):
        home = table[name][0] if name in table else package
        found = _definition(modules, defined, home, name)
        names += [f for f in (found, f"{found}.__init__") if f in functions]
    return names


def listed_names(module: Module) -> list[str]:
    """What `__all__` of a module lists, in its order; `*TABLE` in it stands for the keys of that dictionary."""
    values = {ast.unparse(s.targets[0]): s.value for s in module.tree.body if isinstance(s, ast.Assign)}
    listed = values.get("__all__")
    names = []
    for node in getattr(listed, "elts", []):
        if isinstance(node, ast.Starred):
            names += [key.value for key in getattr(values.get(ast.unparse(node.value)), "keys", [])]
        else:
            names.append(node.value)
    return names


def _definition(modules: Mapping[str, Module], defined: Definitions, home: str, name: str) -> str | None:
    """Dotted name under which a module's name is defined, here or where it is imported from."""
    for _ in range(_MAX_DOORS):
        if any(definition.name == f"{home}.{name}" for definition in defined.get(home, [])):
            return f"{home}.{name}"
        origin = imported_from(modules[home], name) if home in modules else None
        if origin is None:
            return None
        home, _, name = origin.rpartition(".")
    return None
