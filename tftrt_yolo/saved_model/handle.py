"""A SavedModel directory that was opened and checked once, as a frozen object to pass on.

source = open_saved_model("yolov8n_saved_model").require_export("convert")
source.directory, source.metadata.image_size_hw
open_saved_model("yolov8n_xla_saved_model").conversion["accelerator"]
"""

import dataclasses
from pathlib import Path

from tftrt_yolo import contract
from tftrt_yolo.ground.errors import NotAnExportError
from tftrt_yolo.ground.text import printable


@dataclasses.dataclass(frozen=True)
class SavedModelHandle:
    """A SavedModel of ours.

    Attributes:
      directory: Its directory, absolute, so that it means the same in a worker's process.
      metadata: What it knows about itself.
      conversion: What conversion.json holds; None for an export.
      given: The directory as the caller wrote it, for messages and reports; control characters are escaped.
      files: SHA-256 of its other files by their names; None where an older version recorded none.
      is_complete: False in the process that is writing it, where conversion.json does not yet say what is in the graph.
    """

    directory: Path
    metadata: contract.Metadata
    conversion: dict | None
    given: str
    files: dict[str, str] | None = dataclasses.field(default=None, compare=False, repr=False)
    is_complete: bool = True

    def require_export(self, purpose: str) -> "SavedModelHandle":
        """Refuses a conversion.

        Args:
          purpose: What needs an export, as a verb: "convert".

        Returns:
          Itself.

        Raises:
          NotAnExportError: If it was converted.
        """
        if self.conversion is not None:
            raise NotAnExportError(
                f"{self.given} is a conversion already. {purpose.capitalize()} the export that it came from."
            )
        return self


def open_saved_model(saved_model_dir: str | Path | SavedModelHandle) -> SavedModelHandle:
    """Opens a directory; nothing of its graph is read yet.

    Args:
      saved_model_dir: A SavedModel that `export` or `convert` wrote; one that is open already is given back.

    Returns:
      The handle.

    Raises:
      SavedModelError: If it is no SavedModel of ours, or its metadata.yaml or conversion.json is damaged.
    """
    if isinstance(saved_model_dir, SavedModelHandle):
        return saved_model_dir
    directory = Path(saved_model_dir)
    (metadata, files), conversion = contract.read_recorded(directory), contract.read_conversion(directory)
    return SavedModelHandle(directory.resolve(), metadata, conversion, printable(saved_model_dir), files)


def open_unfinished(saved_model_dir: Path) -> SavedModelHandle:
    """Opens a conversion in the process that is writing it, which knows what is in the graph."""
    return dataclasses.replace(open_saved_model(saved_model_dir), is_complete=False)
