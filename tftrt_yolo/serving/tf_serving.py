"""A SavedModel as TensorFlow Serving takes it: a version in a folder, warm-up records, models.config, batching.

    report = tftrt_yolo.tf_serving("digits_saved_model", "models/digits")
    print(report.docker_command)

The version appears whole, by a rename, for a server looks at the folder all the time. It is the SavedModel itself, with
files beside that neither TensorFlow nor this package reads: `Predictor` and `serve` take it as before.
"""

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.ground.arguments import argument, check_batch_sizes
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.ground.files import directories
from tftrt_yolo.ground.text import counted, quoted, shown
from tftrt_yolo.saved_model.handle import SavedModelHandle, open_saved_model
from tftrt_yolo.saved_model.trust import digests
from tftrt_yolo.serving.tf_serving_files import batching_parameters, versions

_EXTRA = "pip install 'tftrt_yolo[serve]'"
_GRPC_PORT, _REST_PORT = 8500, 8501  # the server's own
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # they stand in addresses and in models.config


@dataclasses.dataclass(frozen=True, kw_only=True)
class TfServingReport:
    """What was written for TensorFlow Serving, and how it is started.

    Attributes:
      saved_model_dir: The SavedModel.
      base_path: The folder of the versions; its name is the model's.
      version: The new version's number.
      model_name: What requests call the model.
      batch_sizes: The sizes that are warm, and to which the server fills batches up.
      records: Warm-up records.
      warmup_bytes: Their size.
      docker_command: How a server is started that answers this machine alone.
      needs: What the server must have, beside TensorFlow.
      grpc_address: Where it then answers over gRPC.
      rest_url: Where it answers over HTTP.
      curl_command: A request with a picture, photo.jpg.
      notes: What of the folder's files was kept and does not fit.
    """

    saved_model_dir: str
    base_path: str
    version: int
    model_name: str
    batch_sizes: tuple[int, ...]
    records: int
    warmup_bytes: int
    docker_command: str
    needs: tuple[str, ...]
    grpc_address: str
    rest_url: str
    curl_command: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The report for a reader."""
        lines = [
            f"Wrote version {self.version} of {self.model_name} from {self.saved_model_dir} to {self.base_path}",
            f"  {counted(self.records, 'warm-up record')} ({self.warmup_bytes / 1e6:.1f} MB) for batches of "
            f"{', '.join(map(str, self.batch_sizes))}",
            *(f"  needs {need}" for need in self.needs),
            *(f"  note: {note}" for note in self.notes),
            "Start the server, which nobody has run here:",
            f"  {self.docker_command}",
            f"It answers at {self.rest_url} and, over gRPC, at {self.grpc_address}:",
            f"  {self.curl_command}",
        ]
        return "\n".join(lines)


def tf_serving(
    saved_model_dir: str | Path,
    base_path: str | Path,
    *,
    version: int | None = None,
    batch_sizes: tuple[int, ...] | None = None,
) -> TfServingReport:
    """Writes a SavedModel as a version that TensorFlow Serving serves, warm at its first request.

    Beside the version, base_path gets models.config and batching_parameters.txt. A models.config that is there keeps
    what it has; a batching_parameters.txt that somebody changed stays as it is. Proven by the server's own messages, by
    replaying every record against the signatures, and by its client against `serve`: the server itself was not run.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote.
      base_path: The folder of the model's versions; its name is the model's. It is made if it is not there.
      version: The version's number, which must be free; left out, one more than the highest that is there.
      batch_sizes: The batch sizes that are to be warm; left out, those that the model was converted for, and 1, 2, 4
        and 8 where it runs any.

    Returns:
      What was written, and how the server is started.

    Raises:
      ServingError: If the extra `serve` is not installed, models.config is not understood or has the name for another
        folder, or the engines are a rehearsal's.
      SavedModelError: If saved_model_dir is no SavedModel of ours, or is damaged.
      ValueError: If an argument is out of its range, or base_path cannot be a model's name.
      FileExistsError: If the version exists, or base_path is a file.
    """
    _check_installed()
    base_path, asked = Path(base_path), None if batch_sizes is None else check_batch_sizes(batch_sizes)
    name = _model_name(base_path)
    directories.check_parents(base_path / "version")
    number = versions.chosen(base_path, version)
    handle = open_saved_model(saved_model_dir)
    _check_apart(base_path, handle)
    # Late, for they import TensorFlow and its server's messages.
    from tftrt_yolo.saved_model.trust import believed
    from tftrt_yolo.serving.tf_serving_files import model_config, warmup
    from tftrt_yolo.serving.tf_serving_files.allowed_sizes import allowed_sizes

    sizes = allowed_sizes(handle, asked)
    warmup.check(sizes)
    config = model_config.extended(base_path / model_config.FILE, name, _served(name))
    parameters = batching_parameters.text(sizes)
    beside = {model_config.FILE: config}
    if batching_parameters.is_ours(base_path):
        beside[batching_parameters.FILE] = parameters
    notes = tuple(_notes(base_path, number, model_config.named_versions(config, name), parameters, beside))
    believed.read(handle)
    with _put_beside(base_path, number, beside), _new_version(base_path, number) as partial_dir:
        _copy(handle, partial_dir)
        (partial_dir / batching_parameters.OF_A_VERSION).write_text(parameters, encoding="utf-8")
        count = warmup.write(warmup.records(name, sizes), partial_dir)
    return TfServingReport(
        saved_model_dir=handle.given,
        base_path=str(base_path),
        version=number,
        model_name=name,
        batch_sizes=sizes,
        records=count,
        warmup_bytes=(base_path / str(number) / warmup.FILE).stat().st_size,
        needs=tuple(_needs(handle)),
        notes=notes,
        **_addresses(handle, base_path, name),
    )


def _check_installed() -> None:
    """Refuses to begin without the server's messages."""
    if importlib.util.find_spec("tensorflow_serving") is None:
        raise ServingError(f"tensorflow_serving cannot be imported; expected tensorflow-serving-api. {_EXTRA}")


def _model_name(base_path: Path) -> str:
    """The model's name, by which the server knows the folder of its versions."""
    resolved = base_path.resolve()
    if not _NAMES.fullmatch(resolved.name):
        raise ValueError(
            f"{argument('base_path')} is {shown(base_path)}, whose name {quoted(resolved.name)} would be the model's; "
            "expected letters, digits, dots, dashes and underscores, as in models/digits: it stands in addresses."
        )
    return resolved.name


def _check_apart(base_path: Path, handle: SavedModelHandle) -> None:
    """Refuses to write versions into a version."""
    if base_path.resolve().is_relative_to(handle.directory):
        raise ValueError(
            f"{argument('base_path')} is {shown(base_path)}, which lies in the SavedModel {handle.given}. Expected a "
            "folder of its own for the versions."
        )


def _served(name: str) -> str:
    """Where the server's image has the folder."""
    return f"/models/{name}"


@contextlib.contextmanager
def _put_beside(base_path: Path, number: int, texts: dict[str, str]) -> Iterator[None]:
    """Writes files whose text is new: they get their names when the block has succeeded, and vanish if it fails."""
    made = [folder for folder in (base_path, *base_path.parents) if not folder.exists()]
    partials = {base_path / f".{name}.{secrets.token_hex(4)}": base_path / name for name in texts}
    try:
        base_path.mkdir(parents=True, exist_ok=True)
        for partial, path in partials.items():
            if not path.exists() or path.read_bytes() != texts[path.name].encode():
                partial.write_text(texts[path.name], encoding="utf-8")
        yield
        for partial, path in partials.items():
            if partial.exists():
                partial.replace(path.resolve())
    finally:
        for partial in partials:
            partial.unlink(missing_ok=True)
        directories.remove_unused(made, base_path / str(number))


@contextlib.contextmanager
def _new_version(base_path: Path, number: int) -> Iterator[Path]:
    """Gives the folder that becomes the version."""
    path = base_path / str(number)
    try:
        with directories.written_whole(path, contract.SAVED_MODEL, overwrite=False) as partial_dir:
            yield partial_dir
    except FileExistsError as error:
        if not os.path.lexists(path):
            raise
        raise versions.taken_error(base_path, number) from error


def _copy(handle: SavedModelHandle, partial_dir: Path) -> None:
    """Copies what belongs to the SavedModel, and compares it with what metadata.yaml says."""
    for source in sorted(handle.directory.rglob("*")):
        name = source.relative_to(handle.directory).as_posix()
        if source.is_file() and (name == contract.METADATA_FILE or contract.is_own(name)):
            (partial_dir / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, partial_dir / name)
    digests.check(open_saved_model(partial_dir))


def _notes(
    base_path: Path, number: int, named: tuple[int, ...] | None, parameters: str, beside: dict[str, str]
) -> Iterator[str]:
    """What an operator would not expect."""
    highest = max(versions.present(base_path), default=0)
    if named is not None and number not in named:
        yield (
            f"models.config names the versions {', '.join(map(str, named))} of this model, so this one is not served "
            "until it is named too"
        )
    elif named is None and highest > number:
        yield f"version {highest} is there, and a server that serves the latest serves that"
    if batching_parameters.FILE not in beside:
        yield (
            f"{batching_parameters.FILE} was changed by somebody and stays as it is; this version's own are in "
            f"{number}/{batching_parameters.OF_A_VERSION}, which the command makes count"
        )
    elif highest and parameters != batching_parameters.read(base_path):
        yield f"{batching_parameters.FILE} has the batch sizes of this version now"


def _needs(handle: SavedModelHandle) -> Iterator[str]:
    """What the server must have, by what runs the model."""
    conversion = handle.conversion
    if conversion is None or conversion["accelerator"] == "onednn":
        return
    if conversion["accelerator"] == "xla":
        # main.cc of 2.17.1: without it DisableXlaCompilation() has every compilation fail, on whatever device.
        yield (
            "the flag for XLA in the command, on GPUs too, which the server calls experimental; on a GPU its -gpu image"
        )
        return
    yield "a GPU, and a TensorFlow with TF-TRT: the -gpu image"
    if conversion.get("engines_built"):
        yield f"TensorRT {conversion.get('loaded_tensorrt')} and the kind of GPU, with which the engines were built"
    else:
        yield (
            f"the TensorRT of its TensorFlow (the conversion's was linked to {conversion.get('linked_tensorrt')}): it "
            "builds the engines while it warms up, which takes minutes"
        )


def _addresses(handle: SavedModelHandle, base_path: Path, name: str) -> dict[str, str]:
    """How a server is started, and asked."""
    accelerator = handle.conversion["accelerator"] if handle.conversion else None
    served, is_gpu = _served(name), accelerator == "tensorrt"
    image = f"tensorflow/serving:{importlib.metadata.version('tensorflow-serving-api')}{'-gpu' if is_gpu else ''}"
    command = ["docker", "run", "--rm", *(["--gpus", "all"] if is_gpu else [])]
    command += [flag for port in (_GRPC_PORT, _REST_PORT) for flag in ("--publish", f"127.0.0.1:{port}:{port}")]
    command += ["--volume", f"{base_path.resolve()}:{served}:ro", image, f"--model_config_file={served}/models.config"]
    command += ["--enable_batching", f"--batching_parameters_file={served}/{batching_parameters.FILE}"]
    command += ["--enable_per_model_batching_parameters"]
    command += ["--xla_cpu_compilation_enabled=true"] if accelerator == "xla" else []
    url = f"http://127.0.0.1:{_REST_PORT}/v1/models/{name}"
    body = '{"signature_name": "encoded", "instances": [{"b64": "%s"}]}'
    return {
        "docker_command": shlex.join(command),
        "grpc_address": f"127.0.0.1:{_GRPC_PORT}",
        "rest_url": url,
        "curl_command": f"printf '{body}' \"$(base64 -w0 photo.jpg)\" | curl --data @- {url}:predict",
    }
