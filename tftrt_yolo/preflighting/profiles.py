"""The optimisation profiles that TF-TRT makes of the batch sizes that were run before the engine is built.

    profiles((1, 8, 32), "Range", (-1, 640, 640, 3))    # one: least 1, tuned for 32, largest 32

An engine runs inputs that one of its profiles covers; TF-TRT takes the first that does.

Source: TensorFlow 2.17's tf2tensorrt/utils/trt_shape_optimization_profiles.cc (InitProfiles, OptimalStrategy,
RangeStrategy, GetProfileNumber).
"""

import dataclasses

from tftrt_yolo.converter.tensorrt_options import PROFILE_STRATEGIES, TensorRTOptions
from tftrt_yolo.ground.errors import PreflightError


@dataclasses.dataclass(frozen=True)
class Profile:
    """One range of shapes of an input; the fields have TensorRT's names.

    Attributes:
      min: Least shape.
      opt: The shape that the engine is tuned for.
      max: Largest shape.
    """

    min: tuple[int, ...]
    opt: tuple[int, ...]
    max: tuple[int, ...]


def profiles(batch_sizes: tuple[int, ...], strategy: str | None, dims: tuple[int, ...]) -> tuple[Profile, ...]:
    """Profiles of one input of a network.

    Args:
      batch_sizes: In the order in which they are run; one that comes again makes no further profile.
      strategy: "Range": one profile from the least to the largest, tuned for the largest. "Optimal": one for each, and
        no size between them. "Range+Optimal": these, and the range behind them. None for what a conversion takes.
      dims: The input's shape in the network, with -1 for the batch.

    Returns:
      The profiles, in TensorRT's order; none for a shape without -1, which needs none.

    Raises:
      ValueError: If batch_sizes or strategy are out of their ranges.
      PreflightError: If more than the batch is open.
    """
    options = TensorRTOptions(batch_sizes=batch_sizes, dynamic_shape_profile_strategy=strategy)
    if -1 in dims[1:]:
        raise PreflightError(
            f"An input has the shape {tuple(dims)}; expected no -1 but the batch. Export the model with a fixed image "
            "size."
        )
    if -1 not in dims:
        return ()
    sizes = tuple(dict.fromkeys(options.batch_sizes))
    triples = [(size, size, size) for size in sizes] if "Optimal" in options.strategy else []
    if "Range" in options.strategy:
        triples.append((min(sizes), max(sizes), max(sizes)))
    return tuple(Profile(*((size, *dims[1:]) for size in triple)) for triple in triples)


def profiles_by_strategy(batch_sizes: tuple[int, ...], inputs: dict[str, tuple[int, ...]]) -> dict[str, dict]:
    """What each strategy makes of the batch sizes.

    Args:
      batch_sizes: As `profiles`.
      inputs: Name of each input of a network to its shape. One of which more than the batch is open is left out: what
        TF-TRT makes of it, only a run shows.

    Returns:
      Name of each strategy to the profiles of each input.
    """
    told = {name: dims for name, dims in inputs.items() if -1 not in dims[1:]}
    return {
        strategy: {name: profiles(batch_sizes, strategy, dims) for name, dims in told.items()}
        for strategy in PROFILE_STRATEGIES
    }
