"""What goes into a network and comes out of it: the inputs and outputs of an engine, and of an ONNX file.

IOTensor("images", "FLOAT", (-1, 3, 640, 640), is_input=True)
"""

import dataclasses

from tftrt_yolo.ground.text import shown

MOST_TEXT = 80  # characters of a name, a version or the like that a file says


@dataclasses.dataclass(frozen=True)
class IOTensor:
    """An input or output.

    Attributes:
      name: Its name.
      type: TensorRT's or ONNX's name of its type; "FLOAT" in both.
      dims: Its shape; -1 where the batch decides.
      is_input: Whether it goes in.
    """

    name: str
    type: str
    dims: tuple[int, ...]
    is_input: bool

    def __str__(self) -> str:
        """Name, type and shape; they may be a stranger's."""
        return f"{shown(self.name, MOST_TEXT)} {shown(self.type, MOST_TEXT)} {shown(self.dims, MOST_TEXT)}"
