"""The names that a checkpoint of Ultralytics may hold. They are compared, never looked up.

check(Reference("torch.nn.modules.conv", "Conv2d"))
"""

from tftrt_yolo.exporter.checkpoint.records import Reference
from tftrt_yolo.ground.text import quoted

BUILTINS = ("builtins", "__builtin__")
_NUMPY_CORE = ("numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
# Modules of which these names are known; `torch` has the classes of storages and the types of numbers.
_NAMES = {
    **dict.fromkeys(
        BUILTINS,
        (
            *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "getattr", "int", "list"),
            *("object", "set", "slice", "str", "tuple"),
        ),
    ),
    **dict.fromkeys(_NUMPY_CORE, ("scalar", "_reconstruct", "_frombuffer")),
    "_codecs": ("encode",),
    "argparse": ("Namespace",),
    "collections": ("Counter", "OrderedDict", "defaultdict", "deque"),
    "copyreg": ("_reconstructor",),
    "copy_reg": ("_reconstructor",),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "functools": ("partial",),
    "numpy": ("dtype", "ndarray"),
    "torch": (
        *(f"{kind}Storage" for kind in ("BFloat16", "Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long")),
        "ShortStorage",
        *(f"{kind}{bits}" for kind in ("float", "int") for bits in (8, 16, 32, 64)),
        *(f"per_{what}_{how}" for what in ("tensor", "channel") for how in ("affine", "symmetric")),
        *("qint8", "quint8", "qint32", "per_channel_affine_float_qparams"),
        *("Size", "device", "dtype", "Tensor", "bfloat16", "bool", "uint8", "contiguous_format", "preserve_format"),
    ),
    "torch.storage": ("UntypedStorage", "TypedStorage"),
    "torch.serialization": ("_get_layout",),
    "torch._tensor": ("_rebuild_from_type_v2",),
    "torch._C._nn": ("gelu",),
    "types": ("SimpleNamespace",),
    "uuid": ("UUID",),
}
# Packages of which every name is known: where Ultralytics' and PyTorch's classes live.
_PACKAGES = (
    "ultralytics",
    "torch.nn",
    "torch.optim",
    "torch.amp",
    "torch.cuda.amp",
    "torch.ao",
    "torchvision.transforms",
    "pathlib",
)
_YOLOV5 = ("models.yolo", "models.common", "models.experimental")


class UnknownNameError(ValueError):
    """A name that no checkpoint of Ultralytics holds; the message is half a sentence."""


def check(reference: Reference) -> Reference:
    """Refuses a name that is not known.

    Args:
      reference: The name.

    Returns:
      It.

    Raises:
      UnknownNameError: If it is not known.
    """
    module, name = reference.module, reference.name
    is_rebuilding = module == "torch._utils" and name.startswith("_rebuild_")
    in_package = any(module == package or module.startswith(f"{package}.") for package in _PACKAGES)
    if is_rebuilding or in_package or name in _NAMES.get(module, ()):
        return reference
    if module in _YOLOV5:
        raise UnknownNameError(
            f"holds {module}.{name}: it is of the first YOLOv5, which Ultralytics no longer loads. Train a model of "
            "Ultralytics' package, such as yolov5nu"
        )
    raise UnknownNameError(
        f"holds the name {quoted(f'{module}.{name}')}, which is none of PyTorch's or Ultralytics' classes, so it was "
        "not loaded; nothing of the file was run. If the file is yours, load it where it was made and save it again "
        "without that object"
    )
