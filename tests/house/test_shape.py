"""The counting on small packages, and the limits that this package keeps; `make shape` prints where it stands."""

import dataclasses
import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.house import imports, measure, repeats, shape, source
from tests.house.public import listed_functions

ROOT = Path(__file__).parents[2]
# From the top down: a module may name those of its own floor and of the floors below. Files at the package's top level
# that are not listed are the ground floor.
FLOORS = (
    ("__main__", "cli"),
    ("workflows", "serving", "pipelines", "beam"),
    ("engines", "onnx_twin"),
    ("layer_sensitivity", "preflighting"),
    ("converter",),
    ("exporter", "predictor", "evaluation", "benchmarking"),
    ("saved_model",),
    ("tasks",),
    ("graph",),
    ("contract",),
    ("selection",),
    ("ground",),
)


def _package(folder, files):
    """Writes files of a package `pkg` and reads them."""
    for name, text in {"__init__.py": "", **files}.items():
        path = folder / "pkg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return source.read_package(folder / "pkg")


def _edges(modules, *kinds):
    return {(i.importer, i.imported) for i in imports.find_imports(modules) if i.kind in kinds}


def test_a_circle_through_a_late_import(tmp_path):
    modules = _package(
        tmp_path,
        {
            "a.py": "from pkg import b\n",
            "b.py": "class B:\n    def f(self):\n        from pkg.a import name\n        return name\n",
            "c.py": "import pkg.a\n",  # leads into the circle, and is not in it
        },
    )
    found = imports.find_imports(modules)
    assert imports.circles(found, kinds=[imports.EARLY]) == []
    [circle] = imports.circles(found, kinds=imports.STATEMENTS)
    assert circle == ["pkg.a", "pkg.b"]
    ring = imports.shortest_ring(found, circle, kinds=imports.STATEMENTS)
    assert list(map(str, ring)) == ["pkg.a:1 -> pkg.b", "pkg.b:3 -> pkg.a"]
    assert imports.late_statements(found) == [("pkg.b", 3)]


def test_a_circle_through_the_facades_table(tmp_path):
    modules = _package(
        tmp_path,
        {
            "__init__.py": '"""Doc."""\n__version__ = "1"\n_HOME_OF = {\n    "run": "room.run",\n}\n',
            "room/__init__.py": "",
            "room/run.py": "from pkg import __version__\n\ndef run(): ...\n",
        },
    )
    found = imports.find_imports(modules)
    assert imports.circles(found, kinds=imports.STATEMENTS) == []
    [circle] = imports.circles(found, kinds=imports.EVERY_KIND)
    ring = imports.shortest_ring(found, circle, kinds=imports.EVERY_KIND)
    assert list(map(str, ring)) == ["pkg:4 -> pkg.room.run", "pkg.room.run:1 -> pkg"]


def test_the_shortest_ring_of_a_large_circle(tmp_path):
    chain = {f"m{i}.py": f"from pkg import m{(i + 1) % 6}\n" for i in range(6)}
    chain["m4.py"] += "from pkg import m2\n"
    found = imports.find_imports(_package(tmp_path, chain))
    [circle] = imports.circles(found, kinds=imports.STATEMENTS)
    assert len(circle) == 6
    ring = imports.shortest_ring(found, circle, kinds=imports.STATEMENTS)
    assert [step.importer for step in ring] == ["pkg.m2", "pkg.m3", "pkg.m4"]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('Worker("pkg.room.leaf")', {"pkg.room.leaf"}),
        ('Worker("pkg.gone")', {"pkg.gone"}),  # kept, to be complained about
        ('f"{RUNNERS}.{name}"; RUNNERS = "pkg.room"', {"pkg.room", "pkg.room.leaf", "pkg.room.twig"}),
        ('f"pkg.room.{name}"', {"pkg.room", "pkg.room.leaf", "pkg.room.twig"}),
        ('def f():\n    """pkg.room.leaf"""', set()),  # documentation
        ('"see pkg.room.leaf"; x = "pkg.room.Leaf"; y = "pkgs.room"; z = "pkg"', set()),
        ('x = "pkg.user"', set()),  # itself
    ],
)
def test_strings_that_name_modules(tmp_path, text, named):
    rooms = {f"room/{name}.py": "" for name in ("__init__", "leaf", "twig")}
    modules = _package(tmp_path, {**rooms, "user.py": text})
    assert _edges(modules, imports.STRING) == {("pkg.user", name) for name in named}


@pytest.mark.parametrize(
    ("statement", "imported"),
    [
        ("import pkg.room.twig as t, os", {"pkg.room.twig"}),
        ("from pkg.room import twig, NAME", {"pkg.room.twig", "pkg.room"}),
        ("from pkg.room.twig import *", {"pkg.room.twig"}),
        ("from . import twig", {"pkg.room.twig"}),
        ("from .twig import name", {"pkg.room.twig"}),
        ("from ..top import name", {"pkg.top"}),
        ("from .. import top, __version__", {"pkg.top", "pkg"}),
        ("if True:\n    import pkg.top", {"pkg.top"}),
        ("import pkgs.top\nfrom os import path", set()),
    ],
)
def test_import_statements(tmp_path, statement, imported):
    files = {"top.py": "", "room/__init__.py": "", "room/twig.py": "", "room/leaf.py": statement}
    assert _edges(_package(tmp_path, files), imports.EARLY) == {("pkg.room.leaf", name) for name in imported}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("def f():\n    return 1\n", 1),
        ("def f(): return 1\n", 1),
        ('def f():\n    """One.\n\n    More.\n    """\n', 0),  # nothing but documentation
        ('@a\n@b\ndef f(\n    x,\n    y,\n):\n    """One."""\n\n    # why\n    x()\n\n    return y\n', 5),
        ("def f(\n    x,\n):\n    # why\n\n    x()\n    # after\n", 3),  # a comment after the end is not its own
        ("def f():\n    @a\n    def g():\n        return 1\n\n    return g\n", 5),
        ("async def f():\n    return (\n        1\n    )\n", 3),
    ],
)
def test_body_lines(tmp_path, text, lines):
    modules = _package(tmp_path, {"a.py": text})
    assert source.body_lines(modules["pkg.a"], source.definitions(modules["pkg.a"])[0].node) == lines


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def f(): ...", 0),
        ("def f(a, /, b, *args, c, d=1, **kwargs): ...", 6),
        ("class A:\n    def f(self, a, b): ...", 2),
        ("class A:\n    @classmethod\n    def f(cls, a): ...", 1),
        ("class A:\n    @staticmethod\n    def f(a): ...", 1),
        ("class A:\n    def f(*args): ...", 1),
        ("class A:\n    def f(self):\n        def g(a): ...", 0),
    ],
)
def test_num_parameters(tmp_path, text, count):
    module = _package(tmp_path, {"a.py": text})["pkg.a"]
    assert source.num_parameters(next(d for d in source.definitions(module) if d.node.name == "f")) == count


def test_public_functions(tmp_path):
    """Those of `__all__` are found behind tables and doors; no underscore makes the others public."""
    modules = _package(
        tmp_path,
        {
            "__init__.py": '_HOME_OF = {"run": "room", "Runner": "room.run"}\n__all__ = [*_HOME_OF, "own", "__x__"]\n'
            "from pkg.top import other as own\n",
            "top.py": "def other(a): ...\ndef _hidden(a): ...\n",
            "room/__init__.py": "from .run import run\n",
            "room/run.py": "def run(a, b):\n    def local(): ...\n"
            "class Runner:\n    def __init__(self, a): ...\n    def go(self): ...\n    def _stay(self): ...\n"
            "class _Private:\n    def __init__(self): ...\n    def go(self): ...\n",
        },
    )
    defined = {name: source.definitions(module) for name, module in modules.items()}
    listed = ["pkg.room.run.run", "pkg.room.run.Runner.__init__", "pkg.top.other"]
    assert listed_functions(modules, defined, "pkg") == listed
    functions = measure.measure(tmp_path / "pkg").functions
    assert functions.count == 9
    assert functions.parameters == {listed[0]: 2, listed[1]: 1, listed[2]: 1}
    assert functions.public_parameters == {**functions.parameters, "pkg.room.run.Runner.go": 0}


def test_code_lines(tmp_path):
    text = (
        '"""Doc.\n\nMore.\n"""\n\nimport os  # why\n\n# why\n'  # lines 1 to 8
        'x  =  (1,\n      2)  # why\n"""About x."""\ny = """a\n\n# b"""\n'
    )
    module = _package(tmp_path, {"a.py": text})["pkg.a"]
    assert module.code == {6: "import os", 9: "x = (1,", 10: "2)", 12: 'y = """a', 14: '# b"""'}


_BLOCK = [f"x{i} = call({i})" for i in range(6)]


@pytest.mark.parametrize(
    ("texts", "pairs", "lines"),
    [
        (["\n".join(_BLOCK)] * 2, 1, 12),
        (["\n".join(_BLOCK)] * 3, 3, 18),  # three places are three pairs, and each line is one line
        (["\n".join(_BLOCK[:5])] * 2, 0, 0),  # too short
        (["\n".join(_BLOCK), "\n".join(_BLOCK).replace("x3", "y3")], 0, 0),
        (["\n".join(_BLOCK), "def f():\n" + "\n\n".join(f"    {line}  # why" for line in _BLOCK)], 1, 12),
        (["\n".join(_BLOCK), "\n".join([*_BLOCK[:3], "import os", "# why", *_BLOCK[3:]])], 1, 12),
        (["import os\n" * 20] * 2, 0, 0),
        (["\n".join([*_BLOCK, "y = 1", *_BLOCK])], 1, 12),  # within a module
        (["x = 1\n" * 11], 0, 0),  # no block repeats by overlapping itself
        (["\n".join([*_BLOCK, "y = 1", "y = 2"]), "\n".join([*_BLOCK, "y = 1", "z = 2"])], 1, 14),  # as long as can be
    ],
)
def test_repeats(tmp_path, texts, pairs, lines):
    modules = _package(tmp_path, {f"m{i}.py": text + "\n" for i, text in enumerate(texts)})
    found = repeats.repeats(modules.values())
    assert len(found) == pairs
    assert len(repeats.repeated_lines(found)) == lines


def test_repeats_are_those_of_a_naive_search():
    """In this package: every six lines compared with every other six."""
    modules = source.read_package(shape.PACKAGE_DIR)
    imported = {name: source.import_lines(module) for name, module in modules.items()}
    code = {name: [line for line in m.code.items() if line[0] not in imported[name]] for name, m in modules.items()}
    places = [(name, i) for name, lines in code.items() for i in range(len(lines) - 5)]
    texts = {(name, i): tuple(text for _, text in code[name][i : i + 6]) for name, i in places}
    repeated = set()
    for _, group in itertools.groupby(sorted(places, key=texts.get), key=texts.get):
        for first, second in itertools.combinations(list(group), 2):
            if first[0] != second[0] or abs(first[1] - second[1]) >= 6:
                repeated |= {(name, code[name][i + k][0]) for name, i in (first, second) for k in range(6)}
    assert repeats.repeated_lines(repeats.repeats(modules.values())) == repeated


@pytest.mark.parametrize("count", [1, 2, 3, 10, 101])
def test_percentiles_are_numpys(count):
    values = np.random.default_rng(count).integers(0, 60, count)
    for percent in (0, 50, 90, 97, 100):
        assert measure.percentile(values.tolist(), percent) == pytest.approx(np.percentile(values, percent))


def test_files_and_names(tmp_path):
    _package(
        tmp_path,
        {
            "__init__.py": '"""Doc."""\nTABLE = {"a": "b"}\n\n\ndef __dir__():\n    return []\n\n\ndef more(): ...\n',
            "report.py": '"""Doc."""\n\n\nclass Model:\n    """Doc."""\n',
            "room/__init__.py": '"""Doc."""\nfrom pkg import report\n__all__ = ["report"]\nSIZE = 1\n',
            "room/report.py": "class Model:\n    def f(self): ...\n    def _g(self): ...\n",
            "folder_without_modules/data.txt": "x",
            **{f"long/m{i}.py": "# x\n" * (400 + i) for i in range(13)},
        },
    )
    found = measure.measure(tmp_path / "pkg")
    assert list(found.files.rooms) == ["pkg", "pkg.long", "pkg.room"]
    assert found.files.rooms["pkg.room"] == measure.Room(num_files=2, num_lines=7, num_code_lines=6)
    assert found.files.total.num_files == 17
    assert found.files.crowded == {"pkg.long": 13}
    assert list(found.files.long.items())[::11] == [("pkg.long.m12", 412), ("pkg.long.m1", 401)]
    assert found.files.longest == ("pkg.long.m12", 412)
    assert found.files.init_code == ["pkg:9", "pkg.room:4"]
    assert found.files.init_code_share == pytest.approx((4 + 3) / (4 + 3 + 1 + 3))
    assert found.files.same_names == {"report.py": ["pkg", "pkg.room"]}
    assert found.names.same_classes == {"Model": ["pkg.report", "pkg.room.report"]}
    undocumented = ["pkg.more", "pkg.room.report", "pkg.room.report.Model", "pkg.room.report.Model.f"]
    assert [name for name in found.names.undocumented if "long" not in name] == undocumented
    assert found.names.documented_share == pytest.approx(4 / 21)  # pkg, pkg.report, its Model and pkg.room


def _run(*words):
    command = [sys.executable, "-m", "tests.house.shape", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command(tmp_path):
    _package(tmp_path, {"a.py": "from pkg import b\n", "b.py": "def f():\n    from pkg import a\n"})
    printed = json.loads(_run(tmp_path / "pkg", "--json").stdout)
    assert printed == json.loads(json.dumps(dataclasses.asdict(measure.measure(tmp_path / "pkg"))))
    table = _run(tmp_path / "pkg").stdout
    assert re.search(r"^circles, and late imports +1  2 modules: a b$", table, re.MULTILINE)
    assert max(map(len, table.splitlines())) <= 120
    (tmp_path / "empty").mkdir()
    refused = _run(tmp_path / "empty")
    assert refused.returncode == 2
    assert re.search(r"empty holds no \.py file; expected a package's folder, such as \./tftrt_yolo", refused.stderr)


@pytest.fixture(scope="module")
def house():
    return measure.measure(shape.PACKAGE_DIR)


def _listing(offenders):
    """One a line, under the message."""
    rows = [f"{name}: {what}" for name, what in offenders.items()] if isinstance(offenders, dict) else offenders
    return "".join(f"\n  {row}" for row in rows)


def test_no_room_is_crowded(house):
    crowded = house.files.crowded
    limit = measure.MAX_FILES_A_ROOM
    assert not crowded, f"files in a room; expected at most {limit}, give it rooms inside:{_listing(crowded)}"


def test_no_file_is_long(house):
    limit = measure.MAX_LINES_A_FILE
    assert not house.files.long, f"lines in a file; expected at most {limit}, divide it:{_listing(house.files.long)}"


def test_bodies_are_short(house):
    limit = measure.MAX_LINES_A_BODY
    got = house.functions.body_lines_percentiles[97]
    assert got <= limit, (
        f"the 97th percentile of the functions' bodies is {got:g} lines; expected at most {limit}, divide the longest:"
        f"{_listing(house.functions.long)}"
    )


@pytest.mark.parametrize("group", ["parameters", "public_parameters"])
def test_no_public_function_has_many_parameters(house, group):
    limit = measure.MAX_PARAMETERS
    above = {name: count for name, count in getattr(house.functions, group).items() if count > limit}
    assert getattr(house.functions, group)
    assert not above, f"parameters; expected at most {limit}, put those that belong together into one:{_listing(above)}"


def test_init_files_are_door_plates(house):
    code = house.files.init_code
    assert not code, (
        f"code in __init__.py; expected docstring, imports and __all__, move it to a module:{_listing(code)}"
    )


def test_there_are_no_import_circles():
    found = imports.find_imports(source.read_package(shape.PACKAGE_DIR))
    circles = imports.circles(found, kinds=imports.STATEMENTS)
    rings = [
        f"{len(circle)} modules: {', '.join(map(str, imports.shortest_ring(found, circle, kinds=imports.STATEMENTS)))}"
        for circle in circles
    ]
    assert not circles, f"import circles, the shortest way round each; move what both need down:{_listing(rings)}"


def _named(modules):
    """Every string that names a module, rows of the façade's table included."""
    return [i for i in imports.find_imports(modules) if i.kind in (imports.STRING, imports.FACADE)]


def test_strings_name_modules_that_exist():
    modules = source.read_package(shape.PACKAGE_DIR)
    named = _named(modules)
    assert {i.kind for i in named} == {imports.STRING, imports.FACADE}
    gone = [str(i) for i in named if i.imported not in modules]
    assert not gone, f"strings that name no module of the package:{_listing(gone)}"


def _floor(modules, name):
    """How many floors are above a module; None if FLOORS does not say."""
    if name not in modules:
        return None
    room = name.split(".")[1] if "." in name else "__main__"  # the façade stands as high as the command line
    return next((above for above, rooms in enumerate(FLOORS) if room in rooms), None)


def _pointing_up(modules):
    floors = {name: _floor(modules, name) for name in modules}
    known = [i for i in _named(modules) if None not in (floors.get(i.importer), floors.get(i.imported))]
    return [str(i) for i in known if floors[i.imported] < floors[i.importer]]


def test_every_room_has_a_floor():
    modules = source.read_package(shape.PACKAGE_DIR)
    homeless = sorted({name.split(".")[1] for name in modules if _floor(modules, name) is None})
    assert not homeless, f"rooms without a floor; add them to FLOORS:{_listing(homeless)}"


def test_strings_that_point_up_are_found(tmp_path):
    modules = _package(
        tmp_path,
        {
            "__init__.py": '_HOME_OF = {"run": "exporter.run"}\n',  # down
            "ground/__init__.py": "",
            "ground/worker.py": 'x = "pkg.contract"\n',  # up
            "contract.py": 'x = "pkg.ground.worker"\n',
            "exporter/__init__.py": "",
            "exporter/run.py": 'x = ["pkg.exporter", "pkg.predictor.run", "pkg.cli", "pkg.gone"]\n',  # the third is up
            "predictor/__init__.py": "",
            "predictor/run.py": "",
            "cli.py": "",
        },
    )
    assert _pointing_up(modules) == ["pkg.exporter.run:1 -> pkg.cli", "pkg.ground.worker:1 -> pkg.contract"]


def test_strings_do_not_point_up_the_floors():
    up = _pointing_up(source.read_package(shape.PACKAGE_DIR))
    assert not up, f"strings that name a module of a floor above; move what they name down:{_listing(up)}"
