"""Whether images are of the sizes that their labels say, from their headers, before anything runs on them.

    fitting, skipped = sorted_out(examples, skip_bad_labels=True)

What a header does not tell shows when the image is decoded, and is refused there in the same words.
"""

from collections.abc import Iterable

from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example
from tftrt_yolo.ground.files.image_files import sizes_in_header


def sorted_out(examples: Iterable[Example], *, skip_bad_labels: bool) -> tuple[list[Example], list[str]]:
    """Takes out the images whose header says that they are not what was labelled.

    Args:
      examples: Images that are there.
      skip_bad_labels: Whether such may be left out.

    Returns:
      The others, and of each that was taken out what is wrong.

    Raises:
      BadLabelError: If there is one, and such are not to be skipped.
    """
    fitting, skipped = [], []
    for example in examples:
        try:
            _check(example)
        except BadLabelError as error:
            if not skip_bad_labels:
                raise
            skipped.append(str(error))
        else:
            fitting.append(example)
    return fitting, skipped


def _check(example: Example) -> None:
    """Refuses an image if none of the sizes that it can be of is its labels'."""
    if not example.says_size:
        return
    faults = []
    for size_hw in sizes_in_header(example.path):
        try:
            example.check_size(size_hw)
        except BadLabelError as error:
            faults.append(error)
        else:
            return
    if faults:
        raise faults[0]
