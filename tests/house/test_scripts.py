"""Scripts that no test runs, for they measure for minutes or hours: what they name of the package is there."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "tftrt_yolo"
SCRIPTS = sorted([*(ROOT / "benchmarks").glob("*.py"), *(ROOT / "docs").rglob("*.py")])


def _module(name):
    """The file of a module; None for what is none."""
    path = ROOT.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


def _names(file):
    """What a module's top has: functions, classes, constants and imports."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        for part in ast.walk(node) if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) else (node,):
            if isinstance(part, (ast.FunctionDef, ast.ClassDef)):
                found.add(part.name)
            elif isinstance(part, (ast.Import, ast.ImportFrom)):
                found |= {alias.asname or alias.name for alias in part.names}
            elif isinstance(part, ast.Name):
                found.add(part.id)
    return found


def _missing(tree):
    """What a script imports, or takes from a module that it imported, and is not there."""
    modules = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] != PACKAGE:
            continue
        for alias in node.names:
            module = _module(f"{node.module}.{alias.name}")
            if module:
                modules[alias.asname or alias.name] = module
            elif node.module != PACKAGE and alias.name not in _names(_module(node.module)):
                yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        name = node.value.id if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) else None
        if name in modules and node.attr not in _names(modules[name]):
            yield f"{name}.{node.attr}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_what_a_script_names_is_there(script):
    assert list(_missing(ast.parse(script.read_text()))) == []


def test_what_is_gone_is_found():
    code = (
        "from tftrt_yolo.ground import text\nfrom tftrt_yolo.ground.text import nothing, counted\ntext.gone, text.shown"
    )
    assert list(_missing(ast.parse(code))) == ["tftrt_yolo.ground.text.nothing", "text.gone"]
