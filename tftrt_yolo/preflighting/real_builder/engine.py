"""The worker: imports a TensorRT, which may end its process, rebuilds recorded networks in it and builds them."""

import dataclasses
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.ground.text import first_line, quoted
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.profiles import Profile, profiles
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport, Refusal
from tftrt_yolo.preflighting.real_builder.builders import REMEDY, Builder
from tftrt_yolo.preflighting.real_builder.halved import halved
from tftrt_yolo.preflighting.real_builder.replay import REMEDY as REFUSED
from tftrt_yolo.preflighting.real_builder.replay import Replayed, replay
from tftrt_yolo.preflighting.real_builder.words import Words
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork

_DEFAULT_CAPABILITY = "8.9"  # Ada: L4, L40, RTX 40
_HERE = "of the GPU here"


@dataclasses.dataclass(frozen=True)
class Order:
    """How networks are to be built.

    Attributes:
      compute_capability: As `build`.
      batch_sizes: As `build`.
      strategy: Of the optimisation profiles.
      in_half: As `build`.
    """

    compute_capability: str | None
    batch_sizes: tuple[int, ...]
    strategy: str | None
    in_half: bool


def work(recording_dir: Path, builder: Builder, order: Order, first: int) -> Iterator[BuilderReport | Refusal]:
    """Builds the networks of a recording one after the other, from the first that is asked for, as `build` says."""
    trt = _imported(builder)
    target = _target(trt, builder, order.compute_capability)
    words = Words(trt, f"{builder.name} {trt.__version__}")  # one for all: TensorRT keeps to its process's first logger
    maker = _maker(trt, words)
    for network in recorded_network.read(recording_dir)[first:]:
        words.forget()
        try:
            yield _built(network, trt, maker, words, builder.name, target, order)
        except PreflightError as error:
            yield Refusal(str(error))


def _built(
    network: RecordedNetwork, trt: ModuleType, maker: object, words: Words, name: str, target: str, order: Order
) -> BuilderReport:
    """Rebuilds a network and builds its engine.

    Raises:
      PreflightError: If TensorRT refuses it.
    """
    start = time.perf_counter()
    inputs = [network.tensors[index] for index in network.inputs]
    by_input = {tensor.name: profiles(order.batch_sizes, order.strategy, tensor.dims) for tensor in inputs}
    replayed = replay(halved(network) if order.in_half else network, trt, maker, words)
    plan_bytes = _plan_bytes(trt, maker, words, replayed, target, by_input)
    return BuilderReport(
        builder=name,
        version=trt.__version__,
        compute_capability=target,
        on_cpu=target != _HERE,
        engine=network.engine,
        layers=len(network.layers),
        tensor_types=replayed.tensor_types,
        in_half=order.in_half,
        differences=replayed.differences,
        profiles=by_input,
        seconds=time.perf_counter() - start,
        plan_bytes=plan_bytes,
        warnings=words.warnings,
    )


def _imported(builder: Builder) -> ModuleType:
    """The TensorRT module.

    Raises:
      PreflightError: If it cannot be imported.
    """
    try:
        return importlib.import_module(builder.module)
    except Exception as error:  # native code raises anything where a library is missing
        raise PreflightError(f"{builder} is installed and cannot be imported: {first_line(error)}. {REMEDY}") from error


def _target(trt: ModuleType, builder: Builder, compute_capability: str | None) -> str:
    """What the engine is for: a compute capability, or the GPU that is here.

    Raises:
      PreflightError: If this TensorRT does not build for it.
    """
    known = _capabilities(trt)
    if not known:  # TensorRT builds for the GPU in which it times its kernels
        if compute_capability is None:
            return _HERE
        raise PreflightError(
            f"{argument('compute_capability')} is {quoted(compute_capability)}, and {builder} builds for the GPU that "
            f"is here and for no other. Leave it out. For another GPU: {REMEDY}"
        )
    target = _DEFAULT_CAPABILITY if compute_capability is None else compute_capability
    if target not in known:
        raise PreflightError(
            f"{argument('compute_capability')} is {quoted(target)}; {builder} builds for {', '.join(known)}. Choose "
            "one of these: an engine for another GPU is TensorRT's own, built on that GPU."
        )
    return target


def _capabilities(trt: ModuleType) -> dict[str, object]:
    """Compute capabilities that can be named, "8.9", to their members; none in TensorRT itself."""
    members = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    found = {name: re.fullmatch(r"SM(\d+)(\d)", name) for name in members}
    return {f"{match[1]}.{match[2]}": members[name] for name, match in found.items() if match}


def _maker(trt: ModuleType, words: Words) -> object:
    """TensorRT's Builder.

    Raises:
      PreflightError: If there is none, as TensorRT without a GPU has none.
    """
    try:
        return trt.Builder(words.logger)
    except (RuntimeError, TypeError) as error:  # pybind11 raises TypeError where a factory gives nothing
        words.check("to work here", f"It needs a GPU. Without one: {REMEDY}", fails=True)
        raise AssertionError from error


def _plan_bytes(
    trt: ModuleType, maker: object, words: Words, replayed: Replayed, target: str, by_input: dict[str, tuple]
) -> int:
    """Builds the engine; its size.

    Raises:
      PreflightError: If TensorRT refuses.
    """
    config = maker.create_builder_config()
    if target != _HERE:
        config.num_compute_capabilities = 1
        config.set_compute_capability(_capabilities(trt)[target], 0)
    _add_profiles(maker, config, words, by_input)
    plan = maker.build_serialized_network(replayed.definition, config)
    if plan is None:
        what = "to build the network, of which it took every layer"
        words.check(what, f"Try a single one of {argument('batch_sizes')}. {REFUSED}", fails=True)
    return plan.nbytes


def _add_profiles(maker: object, config: object, words: Words, by_input: dict[str, tuple[Profile, ...]]) -> None:
    """Adds the optimisation profiles; an input whose shape is fixed has none and is in each.

    Raises:
      PreflightError: If TensorRT refuses one.
    """
    for index in range(max(map(len, by_input.values()), default=0)):
        profile, shapes = maker.create_optimization_profile(), {}
        try:
            for name, of_input in by_input.items():
                if of_input:
                    shapes[name] = (of_input[index].min, of_input[index].opt, of_input[index].max)
                    profile.set_shape(name, *shapes[name])
            fails, why = config.add_optimization_profile(profile) < 0, ""
        except (RuntimeError, ValueError) as error:
            fails, why = True, f" ({first_line(error)})"
        words.check(f"the profile {shapes}{why}", f"Choose other {argument('batch_sizes')}.", fails=fails)
