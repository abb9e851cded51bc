"""Packages that cannot be found, as where they are not installed, in this process's children alone."""

import os

# Python runs a sitecustomize.py that it finds when it starts.
_CODE = """
import importlib.machinery as machinery
_find_spec = machinery.PathFinder.find_spec
machinery.PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: None if name in {names!r} else _find_spec(name, path, target)
)
"""


def python_path(folder, *names):
    """Writes what hides packages into a folder; gives a PYTHONPATH with it in front."""
    (folder / "sitecustomize.py").write_text(_CODE.format(names=set(names)))
    paths = (str(folder), os.path.abspath(os.curdir), os.environ.get("PYTHONPATH", ""))
    return os.pathsep.join(filter(None, paths))
