"""Text of strangers in messages: nothing that a terminal obeys, and never long."""

import ast
import pathlib
import re

import pytest

import tftrt_yolo
from tftrt_yolo.ground.streams import UntilFailure
from tftrt_yolo.ground.text import clause, counted, first_line, listed, printable, quoted, rounded, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\rb\x00", "a\\rb\\x00"),
        ("line\n\ttab", "line\n\ttab"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),  # what changes the direction of writing
        ("\u2028\x85", "\\u2028\\x85"),  # line breaks of Unicode
        ("\udcff", "\\udcff"),  # a byte of a file's name that is no text
        ("größe 猫 👩\u200d🚀", "größe 猫 👩\u200d🚀"),
        (7, "7"),
    ],
)
def test_printable(text, expected):
    assert printable(text) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [("", ""), ("a", "a"), ("ab", "a and b"), ("abc", "a, b and c"), (iter("abcd"), "a, b, c and d")],
)
def test_listed(names, expected):
    assert listed(names) == expected


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (-0.00004, "+.4f", "+0.0000"),
        (0.00004, "+.4f", "+0.0000"),
        (-0.0, ".3f", "0.000"),
        (-0.00005001, "+.4f", "-0.0001"),
        (0.5, ".4f", "0.5000"),
        (float("nan"), "+.4f", "+nan"),
    ],
)
def test_what_rounds_to_nothing_has_no_minus(value, form, expected):
    assert rounded(value, form) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("De\x1bct", "'De\\x1bct'"),
        ("a\nb", "'a\\nb'"),
        ("x" * 80, f"'{'x' * 80}'"),
        ("x" * 81, f"'{'x' * 80}' ..."),
        (b"\xff", "b'\\xff'"),
        ("\u202e", "'\\u202e'"),
        (10**79, str(10**79)),
        (10**80, "a whole number of 266 bits"),
        (True, "True"),
        (None, "None"),
        (float("nan"), "nan"),
        ([1, 2], "a list of 2"),
        ({}, "a dict of 0"),
        (pathlib.Path("x"), "a PosixPath"),  # nothing of it is called
    ],
)
def test_quoted(value, expected):
    assert quoted(value) == expected


def test_a_number_that_python_does_not_write():
    assert quoted(-(10**5_000)) == "a whole number of 16,610 bits"


def test_shown():
    assert shown(pathlib.Path("a/b.jpg")) == "a/b.jpg"
    assert shown("a\nb\tc\x1b") == "a\\nb\\tc\\x1b"
    cut = shown("a" * 200 + "b" * 5_000 + ".jpg")
    assert cut.startswith("a" * 100 + " ... b")
    assert cut.endswith("b.jpg")
    assert len(cut) < 320


def test_first_line():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("\n\n  \x1b[2J")) == "\\x1b[2J"
    assert first_line(MemoryError()) == "MemoryError"
    assert first_line(ValueError("x" * 1_000)) == "x" * 300 + " ..."


def test_clause():
    """What a library says ends where our sentence goes on."""
    assert clause(ValueError("This is no file.\nIt ends.")) == "This is no file"
    assert clause(ValueError("x" * 1_000)) == "x" * 300 + " ..."
    assert clause(OSError("no full stop")) == "no full stop"


def test_until_failure():
    """The items before it, then the very exception; an interrupt passes at once, and nothing is raised without one."""
    failure = KeyError("gone")

    def items(error):
        yield from (1, 2)
        raise error

    until = UntilFailure(items(failure))
    assert list(until) == [1, 2]
    with pytest.raises(KeyError) as raised:
        until.raise_failure()
    assert raised.value is failure
    with pytest.raises(KeyboardInterrupt):
        list(UntilFailure(items(KeyboardInterrupt())))
    whole = UntilFailure([1])
    assert list(whole) == [1]
    whole.raise_failure()
    broken = UntilFailure(5)  # what cannot even be begun
    assert list(broken) == []
    with pytest.raises(TypeError, match="not iterable"):
        broken.raise_failure()


@pytest.mark.parametrize(
    ("count", "words", "expected"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2, ("image",), "2 images"),
        (1, ("class", "classes"), "1 class"),
        (80, ("class", "classes"), "80 classes"),
        (12_345, ("image was", "images were"), "12,345 images were"),
    ],
)
def test_counted(count, words, expected):
    assert counted(count, *words) == expected


def test_no_count_has_a_fixed_plural():
    """`counted` gives the word that fits; "1 images" comes of an f-string that ends in the plural."""
    plural = re.compile(r" (\w+ )?(images|pictures|objects|detections|classes|engines|convolutions|layers)\b")
    number = re.compile(r"len\(|num_|count\b|\.(images|detections|objects|layers|convolutions)$")
    package = pathlib.Path(tftrt_yolo.__file__).parent
    found = []
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                pairs = zip(node.values, node.values[1:], strict=False)
                found += [
                    f"{path.relative_to(package)}:{node.lineno}:{text.value}"
                    for value, text in pairs
                    if isinstance(value, ast.FormattedValue)
                    and isinstance(text, ast.Constant)
                    and plural.match(text.value)
                    and number.search(ast.unparse(value.value))
                ]
    assert found == []
