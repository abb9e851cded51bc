"""models.config: which models a TensorFlow Serving serves, as the text of a ModelServerConfig.

    text = model_config.extended(Path("base/models.config"), "base", "/models/base")

What others wrote stays as it is, comments too: a model is put behind the last one, and the result is read again.
"""

import os
import re
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.files import reading
from tftrt_yolo.ground.text import first_line, quoted, shown

FILE = "models.config"
_MOST_BYTES = 1 << 20
_WRITTEN = "a ModelServerConfig with a model_config_list, in protobuf's text form"


def named_versions(text: str, name: str) -> tuple[int, ...] | None:
    """The versions that a text names for a model; None where the latest are served, or all.

    Args:
      text: As `extended` gives it.
      name: The model's name.

    Returns:
      Version numbers.
    """
    configs = text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    policy = next(config.model_version_policy for config in configs if config.name == name)
    return tuple(policy.specific.versions) if policy.HasField("specific") else None


def extended(path: Path, name: str, base_path: str) -> str:
    """The text with a model in it; that of before where it is in it already.

    Args:
      path: A models.config, which need not exist.
      name: The model's name.
      base_path: The folder of its versions, as the server sees it.

    Returns:
      What is to be in the file.

    Raises:
      ServingError: If what is there is not understood, or has the name for another folder.
    """
    entry = _entry(name, base_path)
    if not os.path.lexists(path):
        return f"model_config_list {{\n{entry}}}\n"
    text = _read(path)
    before = _parsed(path, text)
    for config in before.model_config_list.config:
        if config.name == name and config.base_path.rstrip("/") != base_path:
            raise ServingError(
                f"{shown(path)} has the model {quoted(name)} with base_path {quoted(config.base_path)}; expected "
                f"{base_path}. Give another folder as base_path, or take that model out of the file."
            )
        if config.name == name:
            return text
    return _put_behind(path, text, before, entry)


def _entry(name: str, base_path: str) -> str:
    """A model of the list; the latest version alone is served, as is the server's own way."""
    return (
        f'  config {{\n    name: "{name}"\n    base_path: "{base_path}"\n    model_platform: "tensorflow"\n'
        "    model_version_policy { latest { num_versions: 1 } }\n  }\n"
    )


def _read(path: Path) -> str:
    """The text of a file."""
    try:
        return reading.read_text(path, _MOST_BYTES)
    except OSError as error:
        raise ServingError(f"{shown(path)} cannot be read: {error.strerror}. Expected {_WRITTEN}.") from error
    except reading.UnreadableError as error:
        raise _refusal(path, str(error)) from error


def _parsed(path: Path, text: str) -> model_server_config_pb2.ModelServerConfig:
    """The message; what has no list of models, or is none, is refused."""
    try:
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except (text_format.ParseError, RecursionError) as error:
        raise _refusal(path, first_line(error)) from error
    if config.WhichOneof("config") == "custom_model_config":
        raise _refusal(path, "it has a custom_model_config")
    return config


def _put_behind(path: Path, text: str, before: model_server_config_pb2.ModelServerConfig, entry: str) -> str:
    """The text with an entry behind the list's last one; refused where that does not give the list and the entry."""
    expected = type(before)()
    expected.CopyFrom(before)
    text_format.Merge(f"model_config_list {{\n{entry}}}", expected)
    ends = [match.start() for match in re.finditer("}", text)] if before.HasField("model_config_list") else []
    found = [text + f"\nmodel_config_list {{\n{entry}}}\n"] if not ends else []
    found += [f"{text[:end].rstrip(' ')}\n{entry}{text[end:]}" for end in reversed(ends[-8:])]
    for candidate in found:
        try:
            if text_format.Parse(candidate, type(before)()) == expected:
                return candidate
        except text_format.ParseError:  # within a comment, or behind the list
            continue
    raise _refusal(path, "its list of models has no end that is found")


def _refusal(path: Path, found: str) -> ServingError:
    return ServingError(
        f"{shown(path)} is not understood, so nothing is added to it: {found}. Expected {_WRITTEN}. Mend it, or move "
        "it away."
    )
