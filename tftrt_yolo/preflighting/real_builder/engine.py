"""The worker: imports a TensorRT, which may end its process, rebuilds recorded networks in it and builds them."""

import dataclasses
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from tftrt_yolo.ground.arguments import argument
from tftrt_yolo.ground.errors import PreflightError, TftrtYoloError
from tftrt_yolo.ground.text import first_line
from tftrt_yolo.preflighting import recorded_network
from tftrt_yolo.preflighting.profiles import Profile, profiles
from tftrt_yolo.preflighting.real_builder import target
from tftrt_yolo.preflighting.real_builder.builder_report import BuilderReport, Refusal
from tftrt_yolo.preflighting.real_builder.builders import INSTALL, Builder
from tftrt_yolo.preflighting.real_builder.halved import halved, quantizes
from tftrt_yolo.preflighting.real_builder.replay import REMEDY, replay
from tftrt_yolo.preflighting.real_builder.target import NotWorkingError
from tftrt_yolo.preflighting.real_builder.words import Words
from tftrt_yolo.preflighting.recorded_network import RecordedNetwork

# Of the optimisation profiles. A conversion's own, "Range+Optimal", makes four of three sizes and takes up to three
# times as long; this one covers the same sizes.
_STRATEGY = "Range"


@dataclasses.dataclass(frozen=True)
class Order:
    """How networks are to be built.

    Attributes:
      builder: The installed TensorRT.
      compute_capability: As `build`.
      batch_sizes: As `build`.
      in_half: As `build`.
      keeps_decode: As `halved.halved`; a conversion leaves that to TensorRT.
      remedy: What to do where TensorRT refuses a network.
    """

    builder: Builder
    compute_capability: str | None
    batch_sizes: tuple[int, ...]
    in_half: bool | None
    keeps_decode: bool = False
    remedy: str = REMEDY


@dataclasses.dataclass(frozen=True)
class Session:
    """A TensorRT that was imported and works.

    Attributes:
      trt: Its module.
      maker: Its Builder.
      words: What it says.
      target: What it builds for: a compute capability, or target.HERE.
      order: How networks are to be built.
    """

    trt: ModuleType
    maker: object
    words: Words
    target: str
    order: Order


def work(recording_dir: Path, order: Order, first: int) -> Iterator[BuilderReport | Refusal]:
    """Builds the networks of a recording one after the other, from the first that is asked for, as `build` says."""
    networks = recorded_network.read(recording_dir)[first:]
    try:
        session = begun(order)
    except NotWorkingError as error:
        yield from [Refusal(str(error))] * len(networks)
        return
    for network in networks:
        try:
            said, _ = built(network, session)
        except PreflightError as error:
            said = Refusal(str(error))
        yield said


def begun(order: Order) -> Session:
    """Imports TensorRT and makes its Builder.

    Args:
      order: How networks are to be built.

    Returns:
      What builds them.

    Raises:
      NotWorkingError: If it cannot be imported, or does not work on this machine.
      PreflightError: If it does not build for what the order says.
    """
    trt = target.imported(order.builder)
    chosen = target.target_of(trt, order.builder, order.compute_capability)
    words, maker = _maker(trt, order.builder)
    return Session(trt, maker, words, chosen, order)


def built(
    network: RecordedNetwork,
    session: Session,
    finish: Callable[[RecordedNetwork], RecordedNetwork] = lambda network: network,
) -> tuple[BuilderReport, object]:
    """Rebuilds a network and builds its engine.

    Args:
      network: A recorded network.
      session: What builds it.
      finish: Changes the network after it was put into the order's precision; the layers that are reported are those
        that were recorded.

    Returns:
      What was built, and the plan: TensorRT's IHostMemory, which has Python's buffer protocol.

    Raises:
      PreflightError: If TensorRT refuses it, or fails.
      TftrtYoloError: What finish raises.
    """
    start, order, words = time.perf_counter(), session.order, session.words
    in_half = not quantizes(network) if order.in_half is None else order.in_half
    words.forget()
    try:
        finished = finish(halved(network, keeps_decode=order.keeps_decode) if in_half else network)
        inputs = [finished.tensors[index] for index in finished.inputs]
        by_input = {tensor.name: profiles(order.batch_sizes, _STRATEGY, tensor.dims) for tensor in inputs}
        replayed = replay(finished, session.trt, session.maker, words, remedy=order.remedy)
        serialized = plan(session, replayed.definition, by_input)
    except TftrtYoloError:
        raise
    except Exception as error:  # native code raises anything, and so does an API that is another than TensorRT 10's
        raise PreflightError(
            f"{words.speaker} fails ({type(error).__name__}: {first_line(error)}). {order.builder.how_to_leave_out} If "
            "another version fails too, file an issue with network.json."
        ) from error
    report = BuilderReport(
        builder=order.builder.name,
        version=session.trt.__version__,
        compute_capability=session.target,
        on_cpu=session.target != target.HERE,
        engine=network.engine,
        layers=len(network.layers),
        tensor_types=replayed.tensor_types,
        in_half=in_half,
        differences=replayed.differences,
        profiles=by_input,
        seconds=time.perf_counter() - start,
        plan_bytes=serialized.nbytes,
        warnings=words.warnings,
    )
    return report, serialized


def _maker(trt: ModuleType, builder: Builder) -> tuple[Words, object]:
    """TensorRT's Builder, and what it says: one for all networks, for TensorRT keeps to its process's first logger.

    Raises:
      NotWorkingError: If there is none, as TensorRT without a GPU has none.
    """
    words = None
    try:
        words = Words(trt, f"{builder.name} {trt.__version__}")
        return words, trt.Builder(words.logger)
    except Exception as error:  # pybind11 raises TypeError where a factory gives nothing; half a package anything
        said = "; ".join(words.errors if words else ()) or f"{type(error).__name__}: {first_line(error)}"
        remedy = f"TensorRT itself needs a GPU. Without one: {INSTALL} {builder.how_to_leave_out}"
        raise NotWorkingError(f"{builder} is installed and does not work here: {said.rstrip('.')}. {remedy}") from error


def plan(session: Session, definition: object, by_input: dict[str, tuple[Profile, ...]]) -> object:
    """Builds an engine.

    Args:
      session: What builds it.
      definition: TensorRT's INetworkDefinition.
      by_input: Name of each input to its optimisation profiles.

    Returns:
      The plan: TensorRT's IHostMemory, which has Python's buffer protocol.

    Raises:
      PreflightError: If TensorRT refuses.
    """
    config, words = session.maker.create_builder_config(), session.words
    if session.target != target.HERE:
        config.num_compute_capabilities = 1
        config.set_compute_capability(target.capabilities(session.trt)[session.target], 0)
    _add_profiles(session.maker, config, words, by_input)
    serialized = session.maker.build_serialized_network(definition, config)
    if serialized is None:
        what = "to build the network, of which it took every layer"
        words.check(what, f"Try a single one of {argument('batch_sizes')}. {session.order.remedy}", fails=True)
    return serialized


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
