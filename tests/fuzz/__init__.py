"""Inputs that a stranger might bring, damaged by the thousand: `make fuzz`.

Each kind of input is a module here with:

    REFUSALS: tuple[type, ...]      # the exceptions that are an honest answer
    STARTS: tuple[str, ...] = ()    # may be left out: modules that the product itself starts as `python -m`

    def prepare(folder: Path) -> object:
        # Once a process: real inputs, loaded models. The folder is the same for all processes of a run and one is in
        # here at a time: look first whether another made what is needed.

    def case(prepared, rng: numpy.random.Generator, folder: Path) -> tuple[str, Callable[[], object]]:
        # A label for how the input was damaged, and what brings it to the product. All derives from rng. The folder is
        # empty, of this case alone, and the one place where files may be written.

What attacks wants to leave a trace in `canary()`, which must stay empty. `engine` runs the cases in child processes
and watches them; `child` is one of these; one case alone is `python -m tests.fuzz --images=1 --first=4711`.
"""

import os
from pathlib import Path


def canary() -> Path:
    """The folder in which only an attack that succeeded leaves something."""
    return Path(os.environ["FUZZ_CANARY"])
