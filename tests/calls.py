"""A pickle that calls a function when it is loaded, as those of attackers do."""


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call
