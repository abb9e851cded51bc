"""What the first bytes of images tell, before anything runs on them: that one is none, or not what was labelled.

    fitting, skipped = sorted_out(examples, options)

What they do not tell shows when the image is decoded, and is refused there in the same words (usable_images).
"""

from collections.abc import Iterable

from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Example
from tftrt_yolo.ground.errors import ImageError
from tftrt_yolo.ground.files import image_files


def sorted_out(examples: Iterable[Example], options: DataOptions) -> tuple[list[Example], list[str]]:
    """Takes out the images that cannot be of the size that their labels say.

    Args:
      examples: Images that are there.
      options: Which may be left out.

    Returns:
      The others, those that cannot be read among them, and of each that was taken out what is wrong.

    Raises:
      ImageError: If one is no image, and such are not to be skipped.
      DatasetError: If one is of another size, and such are not to be skipped.
    """
    fitting, skipped = [], []
    for example in examples:
        try:
            _check(example)
        except ImageError as error:
            options.leave_out(error)  # and it is, with the reason, when it is read
        except BadLabelError as error:
            skipped.append(options.leave_out(error))
            continue
        fitting.append(example)
    return fitting, skipped


def _check(example: Example) -> None:
    """Refuses what is no image, and one if none of the sizes that it can be of is its labels'."""
    data = image_files.beginning(example.path, with_size=example.says_size)
    faults = []
    for size_hw in image_files.sizes_in(data) if example.says_size else ():
        try:
            example.check_size(size_hw)
        except BadLabelError as error:
            faults.append(error)
        else:
            return
    if faults:
        raise faults[0]
