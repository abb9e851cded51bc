"""What a conversion for XLA or oneDNN can be asked for.

options = BakedOptions(batch_sizes=(1, 8), parity_images="photos")
options.given                                  # ("batch_sizes", "parity_images")
"""

import dataclasses
from pathlib import Path
from typing import ClassVar

from tftrt_yolo.ground.arguments import Options, argument, check_batch_sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class BakedOptions(Options):
    """Options of XLA and oneDNN.

    Attributes:
      parity_images: An image, a folder of images, or a glob, on which xla and onednn are compared with the export; None
        for packaged pictures of digits.
      batch_sizes: With xla the batch sizes that are compiled, 65,536 or fewer, by default every power of two: other
        batches are filled up to the next of them inside the SavedModel, and those above the largest are cut into
        several. Not for onednn, which compiles nothing.
    """

    MEANT_WITH: ClassVar = {"accelerator": ("xla", "onednn")}

    parity_images: str | Path | None = None
    batch_sizes: tuple[int, ...] | None = None

    def __post_init__(self):
        """Raises ValueError for batch sizes that are none; keeps each once, in rising order."""
        if self.batch_sizes is not None:
            sizes = tuple(sorted(set(check_batch_sizes(self.batch_sizes))))
            object.__setattr__(self, "batch_sizes", sizes)  # the dataclass is frozen

    def check(self, accelerator: str) -> None:
        """Refuses what this accelerator does not take.

        Args:
          accelerator: "xla" or "onednn".

        Raises:
          ValueError: If batch sizes were given for onednn.
        """
        if accelerator == "onednn" and "batch_sizes" in self.given:
            raise ValueError(
                f"{argument('batch_sizes')} is for tensorrt and xla, and {argument('accelerator')} is 'onednn', which "
                "compiles nothing and runs every batch as it comes. Leave it out."
            )
