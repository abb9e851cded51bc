"""A package as text: its modules, their lines of code, their functions and classes. Nothing is imported, all is parsed.

    modules = read_package(Path("tftrt_yolo"))
    for module in modules.values():
        print(module.name, module.room, len(module.code))
        print([definition.name for definition in definitions(module)])

The first of three steps: `imports` and `repeats` read what this gives, `shape` counts it.
"""

import ast
import dataclasses
import functools
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


@dataclasses.dataclass(frozen=True)
class Module:
    """A file of a package.

    Attributes:
      name: Dotted, the package's name first; that of an `__init__.py` is its folder's.
      path: The file.
      text: What stands in it.
    """

    name: str
    path: Path
    text: str

    @property
    def is_init(self) -> bool:
        """Whether it is an `__init__.py`."""
        return self.path.name == "__init__.py"

    @property
    def room(self) -> str:
        """Dotted name of the folder that it lies in."""
        return self.name if self.is_init else self.name.rpartition(".")[0]

    @functools.cached_property
    def tree(self) -> ast.Module:
        """The file, parsed."""
        return ast.parse(self.text, filename=str(self.path))

    @functools.cached_property
    def code(self) -> dict[int, str]:
        """Line number to text of the lines of code, whitespace normalised: no blank ones, comments or docstrings."""
        documentation = {(node.lineno, node.col_offset) for node in docstrings(self.tree)}
        lines = self.text.split("\n")
        code: set[int] = set()
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
            elif token.type not in _NO_CODE and token.start not in documentation:
                code.update(range(token.start[0], token.end[0] + 1))
        normalised = {number: " ".join(lines[number - 1].split()) for number in sorted(code)}
        return {number: text for number, text in normalised.items() if text}


@dataclasses.dataclass(frozen=True)
class Definition:
    """A function, a method or a class.

    Attributes:
      name: Dotted, with its module and its classes.
      node: Where it is defined.
      is_local: Whether it stands inside of a function.
      is_method: Whether it stands in a class's body.
    """

    name: str
    node: FunctionNode | ast.ClassDef
    is_local: bool
    is_method: bool

    @property
    def is_function(self) -> bool:
        """Whether it is a function or a method."""
        return not isinstance(self.node, ast.ClassDef)

    @property
    def is_public(self) -> bool:
        """Whether no part of its name starts with an underscore, and it is not local to a function."""
        return not self.is_local and not any(part.startswith("_") for part in self.name.split("."))

    @property
    def is_public_constructor(self) -> bool:
        """Whether it is the `__init__` of a public class."""
        *owner, last = self.name.split(".")
        is_constructor = self.is_method and not self.is_local and last == "__init__"
        return is_constructor and not any(part.startswith("_") for part in owner)


def read_package(package_dir: Path) -> dict[str, Module]:
    """Reads all modules of a package.

    Args:
      package_dir: The package's folder, whose name is the package's.

    Returns:
      Dotted name to module, sorted.

    Raises:
      ValueError: If there is no module in the folder.
    """
    package_dir = package_dir.resolve()
    modules = {}
    for path in sorted(package_dir.rglob("*.py")):
        parts = path.relative_to(package_dir.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = Module(name, path, path.read_text(encoding="utf-8"))
    if not modules:
        raise ValueError(f"{package_dir} holds no .py file; expected a package's folder, such as ./tftrt_yolo")
    return dict(sorted(modules.items()))


def definitions(module: Module) -> list[Definition]:
    """Every function, method and class of a module, in the order of the file, local ones included."""
    return list(_definitions(module.tree, module.name, is_local=False, is_method=False))


def _definitions(node: ast.AST, name: str, *, is_local: bool, is_method: bool) -> Iterator[Definition]:
    """Those below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode | ast.ClassDef):
            inner = f"{name}.{child.name}"
            yield Definition(inner, child, is_local, is_method)
            is_class = isinstance(child, ast.ClassDef)
            yield from _definitions(child, inner, is_local=is_local or not is_class, is_method=is_class)
        else:
            yield from _definitions(child, name, is_local=is_local, is_method=is_method)


def docstrings(tree: ast.AST) -> list[ast.Constant]:
    """The strings that stand as statements of their own: docstrings of modules, classes, functions and attributes."""
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def import_lines(module: Module) -> set[int]:
    """Numbers of the lines that import statements cover."""
    return {
        line
        for node in ast.walk(module.tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for line in range(node.lineno, node.end_lineno + 1)
    }


def body_lines(module: Module, node: FunctionNode) -> int:
    """Length of a function's body.

    Args:
      module: Where it stands.
      node: The function.

    Returns:
      Lines from the one after its docstring, or after its signature if it has none, to its end. Blank lines and
      comments in between count; decorators, signature and docstring do not. 0 if there is only a docstring.
    """
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        return node.end_lineno - first.end_lineno
    start = min([first.lineno, *(decorator.lineno for decorator in getattr(first, "decorator_list", []))])
    lines = module.text.split("\n")
    while start - 1 > node.lineno and lines[start - 2].strip()[:1] in ("", "#"):  # comments above the first statement
        start -= 1
    return node.end_lineno - start + 1


def num_parameters(definition: Definition) -> int:
    """How many parameters a function takes: `self` and `cls` do not count, `*args` and `**kwargs` count one each."""
    arguments = definition.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    count = len(positional) + len(arguments.kwonlyargs) + bool(arguments.vararg) + bool(arguments.kwarg)
    is_static = any(isinstance(node, ast.Name) and node.id == "staticmethod" for node in definition.node.decorator_list)
    return count - (definition.is_method and not is_static and bool(positional))
