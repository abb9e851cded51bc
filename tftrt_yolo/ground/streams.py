"""Streams that fail: what came before the failure is dealt with first.

until = UntilFailure(images)
for image in until:
    ...
until.raise_failure()
"""

from collections.abc import Iterable, Iterator


class UntilFailure:
    """An iterable that ends where another one fails."""

    def __init__(self, items: Iterable):
        """Takes nothing yet.

        Args:
          items: Anything iterable, once.
        """
        self._items, self._failure = items, None

    def __iter__(self) -> Iterator:
        """Gives the items before the failure; an interrupt is none, and is raised at once."""
        try:
            yield from self._items
        except Exception as failure:  # noqa: BLE001 - whatever it is, `raise_failure` raises it
            self._failure = failure

    def raise_failure(self) -> None:
        """Raises what the other one raised, if it did."""
        if self._failure is not None:
            raise self._failure
