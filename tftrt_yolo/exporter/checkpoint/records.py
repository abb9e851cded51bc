"""What a pickle says, as data: names of classes with attributes, calls that nobody makes, tensors that are bytes.

    Record(Reference("torch.nn.modules.conv", "Conv2d"), (), {"stride": (2, 2), ...})

None of them does anything: a Record has no method of the class that it names, and what a Call names is not called.
"""

import dataclasses

from tftrt_yolo.ground.text import with_article


@dataclasses.dataclass(frozen=True)
class Reference:
    """The name of a class or function.

    Attributes:
      module: Python module.
      name: Name in it.
    """

    module: str
    name: str

    def __str__(self) -> str:
        """As it is imported."""
        return f"{self.module}.{self.name}"


@dataclasses.dataclass(eq=False, repr=False)
class Record:
    """An object of a class that is only named.

    Attributes:
      reference: The class.
      arguments: What its constructor would have been given.
      attributes: Its attributes, as they were saved.
    """

    reference: Reference
    arguments: tuple = ()
    attributes: dict = dataclasses.field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Name of the class."""
        return self.reference.name


@dataclasses.dataclass(eq=False, repr=False)
class Call:
    """What a function would have given.

    Attributes:
      reference: The function or class.
      arguments: What it would have been given.
    """

    reference: Reference
    arguments: tuple


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Storage:
    """Where the numbers of tensors are.

    Attributes:
      kind: PyTorch's class, such as HalfStorage.
      key: The entry of the archive.
      num_elements: Numbers in it.
    """

    kind: str
    key: str
    num_elements: int


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class TensorRecord:
    """A tensor.

    Attributes:
      storage: Its numbers.
      offset: Index of the first.
      shape: Sides.
      strides: Numbers from one to the next along each side.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def describe(value: object) -> str:
    """What a value is, for a message: "a Conv2d", "a call of torch._utils._rebuild_qtensor", "a dict"."""
    if isinstance(value, Record):
        return with_article(value.kind)
    if isinstance(value, Call):
        return f"a call of {value.reference}"
    if isinstance(value, Reference):
        return f"the name {value}"
    if isinstance(value, TensorRecord):
        return "a tensor"
    return "nothing" if value is None else with_article(type(value).__name__)
