"""Bodies of the form multipart/form-data, as `curl -F file=@bus.jpg` and browsers send them.

form = read_form(data, request.headers["content-type"])
form.files[0].name, form.files[0].data, form.texts["score_threshold"]

Source: RFC 7578, and RFC 2046 for the parts.
"""

import dataclasses
import email.message
import re

from tftrt_yolo.ground.text import quoted, shown
from tftrt_yolo.serving.protocol.datatypes import invalid

_MOST_PARTS = 1_000
_MOST_HEAD_BYTES = 8 << 10  # of a part
_MOST_TEXT_BYTES = 64 << 10
_BOUNDARY = re.compile(r"[ -~]{0,69}[!-~]")


@dataclasses.dataclass(frozen=True)
class File:
    """A file in a form.

    Attributes:
      name: As the client calls it; for showing alone.
      data: Its bytes.
    """

    name: str
    data: bytes


@dataclasses.dataclass(frozen=True)
class Form:
    """What a form holds.

    Attributes:
      files: In their order.
      texts: Name to value, of fields that are no files.
    """

    files: list[File]
    texts: dict[str, str]


def read_form(data: bytes, content_type: str) -> Form:
    """Takes a form apart.

    Args:
      data: The body.
      content_type: Of the request, with the boundary between the parts.

    Returns:
      The form.

    Raises:
      RefusedError: If it is none, cut short, or has more than 1,000 parts.
    """
    form = Form([], {})
    for head, body in _parts(data, _header("content-type", content_type, "boundary")):
        name = _header("content-disposition", head.get("content-disposition", ""), "name")
        file_name = (
            _header("content-disposition", head["content-disposition"], "filename") if name is not None else None
        )
        if name is None:
            raise invalid("The form has a part without a name in Content-Disposition; expected form-data with a name.")
        if file_name is not None:
            form.files.append(File(shown(file_name, 200), body))
        elif name in form.texts or len(body) > _MOST_TEXT_BYTES:
            found = "is there twice" if name in form.texts else f"has {len(body):,} bytes and no file name"
            raise invalid(f"The form's field {quoted(name)} {found}; send pictures as files: -F file=@PICTURE.")
        else:
            form.texts[name] = body.decode(errors="replace")
    return form


def _header(name: str, value: str, parameter: str) -> str | None:
    """A parameter of a header; None without it."""
    message = email.message.Message()
    message[name] = re.sub(r"[\r\n]", " ", value)
    found = message.get_param(parameter, header=name)
    return email.utils.collapse_rfc2231_value(found) if found is not None else None


def _parts(data: bytes, boundary: str | None):
    """Head and body of each part."""
    if boundary is None or not _BOUNDARY.fullmatch(boundary):
        raise invalid(f"The form's boundary is {quoted(boundary)}; expected 1 to 70 characters in Content-Type.")
    mark = b"--" + boundary.encode()
    place = 0 if data.startswith(mark) else data.find(b"\r\n" + mark) + 2
    if place == 1:
        raise invalid("The form's boundary, which Content-Type names, is nowhere in the body.")
    place += len(mark)
    for _ in range(_MOST_PARTS):
        if data.startswith(b"--", place):
            return
        end = data.find(b"\r\n" + mark, place)
        head_end = data.find(b"\r\n\r\n", place, place + _MOST_HEAD_BYTES)
        if end < 0 or not place <= head_end < end:
            what = "is cut short: its last boundary is missing" if end < 0 else "has a part without a head"
            raise invalid(f"The form {what}; expected multipart/form-data.")
        yield _head(data[place : head_end + 2]), data[head_end + 4 : end]
        place = end + 2 + len(mark)
    raise invalid(f"The form has more than {_MOST_PARTS:,} parts.")


def _head(data: bytes) -> dict[str, str]:
    """The headers of a part, by their names in lower case."""
    lines = [line.partition(":") for line in data.decode(errors="replace").split("\r\n") if line.strip()]
    return {name.strip().lower(): value.strip() for name, _, value in lines}
