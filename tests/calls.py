"""A pickle that calls a function when it is loaded, as those of attackers do."""

import io
import pickle


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


def without_memory(thing: object, protocol: int = 4) -> bytes:
    """Pickles a thing without what remembers other things, as a worker's results are."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol)
    pickler.fast = True
    pickler.dump(thing)
    return file.getvalue()
