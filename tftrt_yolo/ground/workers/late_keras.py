"""Keras stays out of a process that never asks for it.

    late_keras.leave_out()                     # in a process of ours, before anything imports TensorFlow
    import tensorflow                          # in half the time, and 100 MB smaller
    tensorflow.keras                           # is imported here, if anybody asks

TensorFlow ends its own import with one of Keras, for optimizers in saved models, and goes on without it; Keras brings
pandas and matplotlib. No model of ours holds a layer or an optimizer of Keras.
"""

import importlib.abc
import importlib.machinery
import sys

_KERAS, _TENSORFLOW = "keras.src", "tensorflow"


def leave_out() -> None:
    """Has TensorFlow's import go without Keras; again does no harm, and none comes too late."""
    if _TENSORFLOW not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(importlib.abc.MetaPathFinder):
    """Finds no Keras as long as TensorFlow is being imported."""

    def find_spec(self, name: str, path=None, target=None) -> importlib.machinery.ModuleSpec | None:
        """As importlib asks; None for whatever else."""
        if name == _KERAS and _is_being_imported(_TENSORFLOW):
            raise ModuleNotFoundError(f"{name} is imported when it is asked for", name=name)
        return None


def _is_being_imported(name: str) -> bool:
    """Whether a module is on its way, as importlib marks it."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return getattr(spec, "_initializing", False)
