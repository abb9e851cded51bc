"""Files of strangers are read up to a limit, never waited for, and parsed without surprises."""

import os

import pytest

from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.files.reading import UnreadableError


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    (tmp_path / "link").symlink_to(path)
    assert reading.read_bytes(path, 5) == reading.read_bytes(tmp_path / "link", 5) == b"12345"
    with pytest.raises(UnreadableError, match=r"^has 5 bytes; at most 4 are read$"):
        reading.read_bytes(path, 4)
    with open(path, "wb") as file:
        file.truncate(10 << 30)
    with pytest.raises(UnreadableError, match=r"^has 10,737,418,240 bytes; at most 1,000 are read$"):
        reading.read_bytes(path, 1_000)
    assert reading.read_bytes("/proc/self/status", 1 << 20)  # which says that it has no bytes
    with pytest.raises(UnreadableError, match="at most 10 are read"):
        reading.read_bytes("/proc/self/status", 10)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path / "fifo", "/dev/zero", "/dev/null"):
        with pytest.raises(UnreadableError, match=r"^is a device, a pipe or a socket and no file$"):
            reading.read_bytes(place, 10)
    with pytest.raises(UnreadableError, match=r"^is a folder$"):
        reading.read_bytes(tmp_path, 10)
    for name in ("missing", "x" * 5_000):
        with pytest.raises(OSError, match=r"No such file|File name too long"):
            reading.read_bytes(tmp_path / name, 10)


def test_text(tmp_path):
    (tmp_path / "file").write_bytes("\ufeffgröße".encode())
    assert reading.read_text(tmp_path / "file", 100, "utf-8-sig") == "größe"
    (tmp_path / "file").write_bytes(b"ab\xff")
    with pytest.raises(UnreadableError, match=r"^is no text in utf-8 \(invalid start byte at byte 2\)$"):
        reading.read_text(tmp_path / "file", 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, "[[[[{{"]}', {"a": [1, "[[[[{{"]}),
        (r'["\"[", "\\"]', ['"[', "\\"]),
        ("[" * 32 + "]" * 32, None),
    ],
)
def test_json(text, expected):
    got = reading.parse_json(text)
    assert expected is None or got == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 33 + "]" * 33, "^is nested more than 32 levels deep$"),
        ("[" * 100_000, "^is nested more than 32 levels deep"),
        ('{"a":' * 100_000, "^is nested more than 32 levels deep"),
        ('["a', r"^is no JSON \(Unterminated string"),
        ("", r"^is no JSON \(Expecting value"),
        ("1" * 5_000, r"^is no JSON \(Exceeds the limit"),
    ],
)
def test_json_that_is_refused(text, message):
    with pytest.raises(UnreadableError, match=message):
        reading.parse_json(text)


def test_json_of_any_depth_that_can_be_parsed():
    deep = reading.parse_json("[" * 40 + "]" * 40, checks_depth=False)
    assert isinstance(deep, list)
    with pytest.raises(UnreadableError, match=r"^is no JSON \(maximum recursion depth"):
        reading.parse_json("[" * 100_000, checks_depth=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &b [1]\nc: *b", "^refers to an anchor in line 2; write the value itself$"),
        ("a: &b [*b]", "^refers to an anchor in line 1"),
        ("[" * 33 + "]" * 33, "^is nested more than 32 levels deep$"),
        ("[" * 100_000, "^is nested more than 32 levels deep$"),
        ("a: " + "x" * 5_000, "^holds a value of 5,000 characters; at most 4,096 are read$"),
        ("a: [", r"^is no YAML \(did not find expected node content in line \d\)$"),
        ("!!python/object/apply:os.getcwd []", r"^is no YAML \(could not determine a constructor .* in line 1\)$"),
        ("!\x7f\u202e a", "^is no YAML"),
        ("a: 2001-99-99", r"^is no YAML \(month must be in 1..12"),
        ("? [a]\n: b", "^is no YAML"),
        ("--- a\n--- b", r"^is no YAML \(but found another document"),
        ("a: \x1b", "^is no YAML"),
    ],
)
def test_yaml_that_is_refused(text, message):
    with pytest.raises(UnreadableError, match=message) as raised:
        reading.parse_yaml(text)
    assert str(raised.value).isprintable()


def test_yaml():
    assert reading.parse_yaml("a: [1, .inf]\nb: {c: null}") == {"a": [1, float("inf")], "b": {"c": None}}
    assert reading.parse_yaml("") is None


def test_a_bomb_of_aliases_is_not_built():
    """Ten billion values, of which none is made."""
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    with pytest.raises(UnreadableError, match="refers to an anchor in line 2"):
        reading.parse_yaml("\n".join(rows))
