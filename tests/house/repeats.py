"""Blocks of code that stand at two or more places of a package.

    for repeat in repeats(modules.values(), min_lines=6):
        print(repeat)

Lines are compared as `Module.code` gives them, import statements left out: indentation, blank lines, comments and
docstrings do not tell two blocks apart, a name that differs does.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterable

from tests.house.source import Module, import_lines

MIN_LINES = 6


@dataclasses.dataclass(frozen=True)
class Repeat:
    """A pair of places where the same lines stand, as long as they can be made.

    Attributes:
      places: Module and line numbers of the code, twice.
    """

    places: tuple[tuple[str, tuple[int, ...]], tuple[str, tuple[int, ...]]]

    @property
    def num_lines(self) -> int:
        """How many lines of code are the same."""
        return len(self.places[0][1])

    def __str__(self) -> str:
        """Both places, each with its first and last line."""
        ends = (f"{module}:{lines[0]}-{lines[-1]}" for module, lines in self.places)
        return f"{' = '.join(ends)} ({self.num_lines} lines)"


def repeats(modules: Iterable[Module], *, min_lines: int = MIN_LINES) -> list[Repeat]:
    """Finds repeated blocks.

    Args:
      modules: Where to look; a block may be repeated within a module.
      min_lines: The shortest block that counts, in lines of code.

    Returns:
      One for each pair of places, so that a block that stands three times gives three; the longest first.
    """
    code = {module.name: _comparable(module) for module in modules}
    starts = defaultdict(list)
    for name, lines in code.items():
        for start in range(len(lines) - min_lines + 1):
            starts[tuple(text for _, text in lines[start : start + min_lines])].append((name, start))
    found = []
    for places in starts.values():
        for first, second in itertools.combinations(places, 2):
            length = _length(code, first, second)
            if length >= min_lines:
                found.append(Repeat((_place(code, first, length), _place(code, second, length))))
    return sorted(found, key=lambda repeat: (-repeat.num_lines, repeat.places))


def repeated_lines(found: Iterable[Repeat]) -> set[tuple[str, int]]:
    """Module and number of every line that stands in one of them; a line in two of them is one line."""
    return {(module, line) for repeat in found for module, lines in repeat.places for line in lines}


def _comparable(module: Module) -> list[tuple[int, str]]:
    """Number and text of the lines that are compared."""
    imports = import_lines(module)
    return [(number, text) for number, text in module.code.items() if number not in imports]


def _length(code: dict[str, list[tuple[int, str]]], first: tuple[str, int], second: tuple[str, int]) -> int:
    """Lines that are the same from two places on; 0 if the lines above are the same too, for a longer pair has them."""
    (name, start), (other_name, other_start) = first, second
    lines, other_lines = code[name], code[other_name]
    if start and other_start and lines[start - 1][1] == other_lines[other_start - 1][1]:
        return 0
    pairs = zip(lines[start:], other_lines[other_start:], strict=False)
    length = sum(1 for _ in itertools.takewhile(lambda pair: pair[0][1] == pair[1][1], pairs))
    return min(length, other_start - start) if name == other_name else length  # no block repeats by overlapping itself


def _place(code: dict[str, list[tuple[int, str]]], first: tuple[str, int], length: int) -> tuple[str, tuple[int, ...]]:
    """Module and line numbers of a block."""
    name, start = first
    return name, tuple(number for number, _ in code[name][start : start + length])
