"""The images of a data set as frames with what is on them, and why some had to be left out.

    images = UsableImages(dataset, DataOptions(skip_unreadable=True))
    for frame, truth, place in images.framed(metadata, batch_size=16):
        ...                                    # whoever takes a batch gets a full one, whatever was left out
    images.measured()                          # the data set of the images that were given

Whether an image can be read is known when it is decoded and not before; what is no image, or not of the size that its
labels say, has most often been found by its first bytes (datasets.headers).
"""

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from tftrt_yolo.contract import Metadata
from tftrt_yolo.evaluation.datasets.data_options import DataOptions
from tftrt_yolo.evaluation.datasets.examples import BadLabelError, Dataset
from tftrt_yolo.evaluation.datasets.truth import ClassTruth, MapTruth, Truth
from tftrt_yolo.ground.errors import DatasetError, ImageError
from tftrt_yolo.ground.placement import Placement
from tftrt_yolo.ground.text import counted, shown
from tftrt_yolo.saved_model.network import prepare_ahead


class UsableImages:
    """What can be measured on of a data set.

    Attributes:
      total: How many images the data set has.
      seen: How many of them were looked at so far, whether they were given or left out.
    """

    def __init__(self, dataset: Dataset, options: DataOptions):
        """Starts before the first image.

        Args:
          dataset: Images with labels.
          options: Which may be left out.
        """
        self.total, self.seen = len(dataset.examples), 0
        self._dataset, self._options = dataset, options
        self._given, self._unreadable, self._bad_labels = [], [], []

    def framed(self, metadata: Metadata, batch_size: int) -> Iterator[tuple[np.ndarray, Truth | MapTruth, Placement]]:
        """Frames the images in order, in threads and ahead of the consumer.

        Args:
          metadata: Of the SavedModel.
          batch_size: Images a batch.

        Yields:
          The frame (S, S, 3) uint8, what is on the image, in its pixels, and where it lies in the frame.

        Raises:
          ImageError: If an image cannot be read, and such are not to be skipped.
          DatasetError: If an image is of another size than its labels say, and such are not to be skipped.
        """
        paths = [example.path for example in self._dataset.examples]
        with contextlib.closing(prepare_ahead(paths, metadata, batch_size, raises=False)) as prepared:
            for example, found in zip(self._dataset.examples, prepared, strict=True):
                self.seen += 1
                try:
                    frame, place = _readable(found)
                    truth = example.in_pixels((int(place.size_hw[0]), int(place.size_hw[1])))
                except ImageError as error:
                    self._unreadable.append(self._options.leave_out(error))
                except BadLabelError as error:
                    self._bad_labels.append(self._options.leave_out(error))
                else:
                    # Polygons are pixels, and can be counted, once the image's size is known.
                    is_drawn = isinstance(truth, ClassTruth)
                    self._given.append(dataclasses.replace(example, truth=truth) if is_drawn else example)
                    yield frame, truth, place

    def measured(self) -> Dataset:
        """The data set of the images that were given, with the reasons why others were not.

        Raises:
          DatasetError: If there are none.
        """
        if not self._given:
            left_out = [*self._unreadable, *self._bad_labels]
            raise DatasetError(
                f"{shown(self._dataset.name)} has no image left to measure on. Expected at least one that can be read "
                f"and is as its labels say. {counted(len(left_out), 'image')} left out: {left_out[0]}"
            )
        return dataclasses.replace(
            self._dataset,
            examples=tuple(self._given),
            skipped_labels=(*self._dataset.skipped_labels, *self._bad_labels),
            unreadable=tuple(self._unreadable),
        )


def _readable(found: tuple[np.ndarray, Placement] | ImageError) -> tuple[np.ndarray, Placement]:
    """A frame and its place; what was found instead is raised."""
    if isinstance(found, ImageError):
        raise found
    return found
