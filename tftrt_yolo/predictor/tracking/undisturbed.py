"""An import of Ultralytics that leaves the process as it was.

    with undisturbed.import_():
        trackers = importlib.import_module("ultralytics.trackers")

Left alone, the import sets environment variables, print options of NumPy and PyTorch, OpenCV's threads, filters of
warnings and levels of loggers; puts functions of its own in the places of PIL.Image.open, which then installs a package
on meeting a damaged file, and torch.save; looks hosts up; and writes a file of settings at home.
"""

import contextlib
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator

import cv2
import numpy as np
import PIL.Image
import torch  # before Ultralytics, whose OMP_NUM_THREADS=1 it would keep to

_LOGGER = "ultralytics"
# No look-up of hosts, no installation of packages.
_ENVIRONMENT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
_IN_SILENCE = threading.local()


@contextlib.contextmanager
def import_() -> Iterator[None]:
    """For an import of Ultralytics in a process that has not imported it.

    What is imported is this package's own: it is not in `sys.modules` afterwards. So a later import of the user's is
    the first one, reads the user's settings and does all that an import of Ultralytics does.
    """
    with (
        tempfile.TemporaryDirectory(prefix="tftrt_yolo_") as settings_dir,
        _environment({**_ENVIRONMENT, "YOLO_CONFIG_DIR": settings_dir}),
        _attributes(PIL.Image, cv2, torch),
        _numbers(),
        _loggers(),
        _modules(),
        np.printoptions(),
        warnings.catch_warnings(),
        silence(),
    ):
        yield


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps what Ultralytics logs in this thread off standard output, where its logger writes."""
    before = getattr(_IN_SILENCE, "is_on", False)
    _IN_SILENCE.is_on = True
    logger = logging.getLogger(_LOGGER)
    if _is_wanted not in logger.filters:
        logger.addFilter(_is_wanted)
    try:
        yield
    finally:
        _IN_SILENCE.is_on = before


def _is_wanted(record: logging.LogRecord) -> bool:
    """Whether a record is not of a thread in silence."""
    return not getattr(_IN_SILENCE, "is_on", False)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Sets variables, and puts back every one that is changed."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@contextlib.contextmanager
def _attributes(*modules) -> Iterator[None]:
    """Puts back what another function or value is put in the place of."""
    before = [(module, dict(vars(module))) for module in modules]
    try:
        yield
    finally:
        for module, values in before:
            for name, value in values.items():
                if vars(module).get(name) is not value:
                    setattr(module, name, value)


@contextlib.contextmanager
def _numbers() -> Iterator[None]:
    """Puts back OpenCV's threads and how PyTorch prints numbers."""
    num_threads, printing = cv2.getNumThreads(), dict(vars(torch._tensor_str.PRINT_OPTS))
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)
        torch.set_printoptions(**printing)


@contextlib.contextmanager
def _loggers() -> Iterator[None]:
    """Puts back levels and handlers of loggers; new ones get none."""
    known = logging.root.manager.loggerDict

    def states() -> dict:
        loggers = [logger for logger in known.values() if isinstance(logger, logging.Logger)]
        return {logger: (logger.level, logger.handlers[:], logger.propagate) for logger in loggers}

    before = states()
    try:
        yield
    finally:
        for logger in states():
            level, logger.handlers[:], logger.propagate = before.get(logger, (logging.NOTSET, [], True))
            logger.setLevel(level)


@contextlib.contextmanager
def _modules() -> Iterator[None]:
    """Takes Ultralytics' modules out of the table of those that are imported."""
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "ultralytics"]:
            del sys.modules[name]
