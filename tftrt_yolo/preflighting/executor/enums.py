"""Words of TensorRT's enums, as attributes of layers."""

from typing import TypeVar

from tftrt_yolo.ground.errors import PreflightError
from tftrt_yolo.preflighting.recorded_network import Layer

_Meaning = TypeVar("_Meaning")


def meaning(layer: Layer, attribute: str, known: dict[str, _Meaning], default: str | None = None) -> _Meaning:
    """What a layer's word means.

    Args:
      layer: The layer.
      attribute: Name of the attribute that holds the word.
      known: Words to what they mean.
      default: TensorRT's word where none was set; without one the attribute must be there.

    Raises:
      PreflightError: If the word is not known.
      KeyError: If there must be one and is none.
    """
    word = layer.attributes[attribute] if default is None else layer.attributes.get(attribute, default)
    if word not in known:
        raise PreflightError(
            f"{layer.kind} layer {layer.name} has {attribute} {word}. Expected one of {', '.join(known)}, which the "
            "executor computes; leave the layer's op to TensorFlow (TF_TRT_OP_DENYLIST in the environment), or file an "
            "issue with network.json."
        )
    return known[word]
