"""What a pickled Predictor holds, and how it is opened again in another process.

predictor = pickle.loads(pickle.dumps(predictor))       # the same directory, opened anew
"""

import dataclasses
from pathlib import Path

from tftrt_yolo.ground.errors import EngineError, SavedModelError
from tftrt_yolo.ground.text import shown

_REMEDY = "Make the Predictor where it is used, or pickle it anew."


@dataclasses.dataclass(frozen=True)
class Opening:
    """How a predictor was opened.

    Attributes:
      path: The SavedModel's directory or the engine file, absolute.
      keywords: The constructor's other arguments.
      facts: What the files said of themselves, such as their digests: by it a model that changed is told.
    """

    path: Path
    keywords: dict[str, object]
    facts: tuple


def reopen(kind: type, opening: Opening, warm_batch_sizes: tuple[int, ...]):
    """Opens a predictor again; pickle calls it.

    Args:
      kind: Its class.
      opening: How it was opened.
      warm_batch_sizes: The batch sizes that were warmed up, and are again.

    Returns:
      The predictor.

    Raises:
      SavedModelError: If the directory is gone, damaged, or holds another model than when it was pickled.
      EngineError: The same of an engine file.
    """
    name = f"A pickled {kind.__name__} of {shown(opening.path)}"
    try:
        predictor = kind(opening.path, **opening.keywords)
    except (SavedModelError, EngineError) as error:
        raise type(error)(f"{name} cannot be opened again: {error} {_REMEDY}") from error
    if predictor._opening.facts != opening.facts:
        raise kind._unusable(
            f"{name} cannot be opened again: another model is there now than when it was pickled. {_REMEDY}"
        )
    if warm_batch_sizes:
        predictor.warm_up(warm_batch_sizes)
    return predictor
