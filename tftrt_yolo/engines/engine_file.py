"""The file of an engine: a header that says what the plan is, and the plan.

    engine_file.write(path, metadata, facts, plan_file)
    file = engine_file.read("digits.engine")
    file.metadata.task, file.facts.builder, file.plan()

Ultralytics' form: four bytes with the length of a JSON document, little-endian, the document, then TensorRT's plan. Its
keys are Ultralytics', so that `YOLO("digits.engine")` reads it, and ours are in its section `tftrt_yolo`. An engine
that Ultralytics wrote has no such section, and `facts` is None.

Source: ultralytics.utils.export.engine.onnx2engine, ultralytics.nn.backends.base.BaseBackend.engine_header.
"""

import dataclasses
import hashlib
import json
import os
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.contract import Metadata
from tftrt_yolo.ground.errors import EngineError
from tftrt_yolo.ground.files import documents, fields, reading
from tftrt_yolo.ground.text import printable, quoted, shown
from tftrt_yolo.preflighting.io_tensor import MOST_TEXT, IOTensor
from tftrt_yolo.preflighting.profiles import Profile
from tftrt_yolo.selection import Selection

SUFFIX = ".engine"  # by which Ultralytics knows what to do with a file
PLAN_SUFFIX = ".plan"  # of a plan alone, as Triton's model.plan
UNTOLD_GPU = "of the GPU that it was built on"
BUILDERS = ("TensorRT-RTX", "TensorRT")
_LENGTH_BYTES = 4
_MOST_HEADER_BYTES = 4 << 20
_MOST_TENSORS = 64
_MOST_BYTES = 16 << 30
_REMEDY = "Copy the file again, or build the engine again with `tftrt-yolo engine`."


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What our section of the header says of a plan.

    Attributes:
      weights: File name of the checkpoint that was exported.
      weights_sha256: Hash of that file; None if there was none.
      selection: Thresholds and limits of the selection, which is done behind the engine.
      builder: "TensorRT-RTX" or "TensorRT".
      builder_version: Its version.
      compute_capability: Of the GPU that the plan is for, such as "8.9"; UNTOLD_GPU where that is not known.
      precision_mode: "FP32", "FP16" or "INT8".
      batch_sizes: Batch sizes that it was built for.
      tensors: Its inputs and outputs.
      profiles: Name of each input whose batch is open to its optimisation profiles.
      plan_bytes: Size of the plan.
      plan_sha256: Its hash.
    """

    weights: str
    weights_sha256: str | None
    selection: Selection
    builder: str
    builder_version: str
    compute_capability: str
    precision_mode: str
    batch_sizes: tuple[int, ...]
    tensors: tuple[IOTensor, ...]
    profiles: dict[str, tuple[Profile, ...]]
    plan_bytes: int
    plan_sha256: str


@dataclasses.dataclass(frozen=True)
class EngineFile:
    """An engine file whose header was read; its plan was not.

    Attributes:
      path: The file.
      given: The same as the caller wrote it, for messages.
      metadata: What it knows of the model; of an engine that Ultralytics wrote, with our defaults for the selection.
      facts: What our section says; None in a file of Ultralytics'.
      header_bytes: Where the plan begins.
    """

    path: Path
    given: str
    metadata: Metadata
    facts: EngineFacts | None
    header_bytes: int

    def plan(self) -> bytes:
        """Reads the plan.

        Raises:
          EngineError: If it is cut short, or not what the header was written for.
        """
        with _opened(self.path, self.given) as file:
            file.seek(self.header_bytes)
            plan = file.read()
        _check_size(self, len(plan))
        if self.facts and hashlib.sha256(plan).hexdigest() != self.facts.plan_sha256:
            raise EngineError(
                f"{self.given} is damaged: the SHA-256 of its plan is not the one in its header. {_REMEDY}"
            )
        return plan


def write(path: Path, metadata: Metadata, facts: EngineFacts, plan: bytes | memoryview) -> None:
    """Writes an engine file.

    Args:
      path: A new file.
      metadata: What is known of the model.
      facts: What is known of the plan.
      plan: The plan.
    """
    header = documents.plain(_document(metadata, facts))
    text = json.dumps(header, ensure_ascii=True, allow_nan=False).encode()
    with open(path, "xb") as file:
        file.write(len(text).to_bytes(_LENGTH_BYTES, "little"))
        file.write(text)
        file.write(plan)
        file.flush()
        os.fsync(file.fileno())


def read(path: str | Path) -> EngineFile:
    """Reads the header of an engine file.

    Args:
      path: A file that `build_engine`, `extract_engines` or Ultralytics wrote.

    Returns:
      What it says; of the plan only its length was looked at.

    Raises:
      EngineError: If it is no such file, or its header is damaged.
    """
    given = shown(path)
    with _opened(Path(path), given) as file:
        document, header_bytes = _header(file, given)
        size = os.fstat(file.fileno()).st_size
    try:
        metadata, facts = _parsed(document)
    except reading.UnreadableError as error:
        raise EngineError(f"{given} cannot be used: its header {error}. {_REMEDY}") from error
    except documents.FAULTS as error:
        raise EngineError(
            f"{given} cannot be used: its section {contract.OUR_SECTION} is damaged, or of another version of "
            f"tftrt_yolo ({printable(error)}). {_REMEDY}"
        ) from error
    found = EngineFile(Path(path).resolve(), given, metadata, facts, header_bytes)
    _check_size(found, size - header_bytes)
    return found


def is_ours(path: Path) -> bool:
    """Whether a file begins as an engine file of ours does."""
    try:
        with _opened(path, str(path)) as file:
            return contract.OUR_SECTION in _header(file, str(path))[0]
    except EngineError:
        return False


def _check_size(file: EngineFile, plan_bytes: int) -> None:
    """Refuses a file whose plan is shorter or longer than its header says; it may change while it is open."""
    expected = file.facts.plan_bytes if file.facts else max(plan_bytes, 1)
    if plan_bytes != expected:
        what = "cut short" if plan_bytes < expected else "too long"
        of = f"its header says {expected:,}" if file.facts else "there is none behind its header"
        raise EngineError(f"{file.given} is {what}: its plan has {plan_bytes:,} bytes, and {of}. {_REMEDY}")


def _document(metadata: Metadata, facts: EngineFacts) -> dict:
    """The header."""
    batch_sizes = facts.batch_sizes or (1,)
    is_half, is_int8 = (facts.precision_mode == name for name in ("FP16", "INT8"))
    largest, is_dynamic = max(batch_sizes), any(-1 in tensor.dims for tensor in facts.tensors)
    return {
        "description": f"{Path(metadata.weights).stem} as an engine of {facts.builder} {facts.builder_version}",
        **contract.common_document(metadata),
        "batch": largest,
        "args": {"batch": largest, "half": is_half, "int8": is_int8, "dynamic": is_dynamic, "nms": False},
        contract.OUR_SECTION: facts,
    }


def _opened(path: Path, given: str):
    """Opens an engine file."""
    try:
        return reading.opened(path, _MOST_BYTES)
    except OSError as error:
        raise EngineError(f"{given} cannot be read: {error.strerror}. Expected an engine file.") from error
    except (reading.UnreadableError, ValueError) as error:  # ValueError: a null character in the path
        raise EngineError(f"{given} cannot be read: it {error}. Expected an engine file.") from error


def _header(file, given: str) -> tuple[dict, int]:
    """The header's document, and where it ends."""
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    size = os.fstat(file.fileno()).st_size
    if size < _LENGTH_BYTES:
        raise EngineError(f"{given} is cut short: it has {size} bytes, and a header begins with four. {_REMEDY}")
    if not 2 <= length <= _MOST_HEADER_BYTES:
        raise EngineError(
            f"{given} has no header: its first four bytes are {length:,}, and the length of one is from 2 to "
            f"{_MOST_HEADER_BYTES:,}. Expected what `tftrt-yolo engine` or Ultralytics wrote, with what the plan is; a "
            "plan alone, as trtexec writes it, does not say."
        )
    if size < _LENGTH_BYTES + length:
        raise EngineError(
            f"{given} is cut short: its header has {length:,} bytes, of which {size - _LENGTH_BYTES:,} are there. "
            f"{_REMEDY}"
        )
    try:
        document = reading.parse_json(file.read(length).decode())
    except (UnicodeDecodeError, reading.UnreadableError) as error:
        raise EngineError(f"{given} has no header, or a damaged one: it {printable(error)}. {_REMEDY}") from error
    if not isinstance(document, dict):
        raise EngineError(f"{given} has a header that holds no mapping. {_REMEDY}")
    return document, _LENGTH_BYTES + length


def _parsed(document: dict) -> tuple[Metadata, EngineFacts | None]:
    """Metadata, and what our section says."""
    names = document.get("names")
    if isinstance(names, dict):  # JSON has texts for keys
        names = {int(key) if key.isascii() and key.isdecimal() and len(key) < 9 else key: names[key] for key in names}
    # What Ultralytics leaves out, or writes as None.
    common = {"end2end": False} | {key: value for key, value in document.items() if value is not None}
    found = contract.parse_common(common | {"names": names})
    if document.get("args") is not None and fields.mapping(document, "args").get("nms") is True:
        found["is_end_to_end"] = True  # suppressed inside: it gives each object once
    if contract.OUR_SECTION not in document:
        weights = str(document.get("description", ""))
        return Metadata(**found, selection=Selection(), weights=weights), None
    facts = documents.parse(document[contract.OUR_SECTION], EngineFacts)
    _check_facts(facts)
    metadata = Metadata(**found, selection=facts.selection, weights=facts.weights, weights_sha256=facts.weights_sha256)
    return metadata, facts


def _check_facts(facts: EngineFacts) -> None:
    """Refuses words that no engine of ours has: messages and `backend` show them.

    Raises:
      UnreadableError: If a word is unknown, too long or not printable, a batch size is none, or a tensor stands twice.
    """
    known = {"builder": BUILDERS, "precision_mode": contract.PRECISION_MODES["tensorrt"]}
    for name, words in known.items():
        if getattr(facts, name) not in words:
            raise reading.UnreadableError(
                f"has the {name} {quoted(getattr(facts, name))}; known are {', '.join(words)}"
            )
    for name in ("builder_version", "compute_capability"):
        text = getattr(facts, name)
        if not text or shown(text, MOST_TEXT) != text:
            raise reading.UnreadableError(f"has the {name} {quoted(text)}; expected a few printable characters")
    if min(facts.batch_sizes, default=1) < 1:
        raise reading.UnreadableError(f"has the batch size {min(facts.batch_sizes)}; expected 1 or more")
    if len({tensor.name for tensor in facts.tensors}) < len(facts.tensors) or len(facts.tensors) > _MOST_TENSORS:
        raise reading.UnreadableError(
            f"names {len(facts.tensors):,} tensors; expected {_MOST_TENSORS} or fewer, each once"
        )
