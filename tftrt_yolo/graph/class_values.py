"""What the numbers of a class map stand for, in the graph as on the host; nothing of TensorFlow is imported.

    first_value(19)                         # 0: the map's values are class indices
    first_value(1)                          # 1: the one class, and 0 is what is beside it

Source: ultralytics.models.yolo.semantic, whose predictor, validator and masks agree on it.
"""

THRESHOLD = 0.0  # of the one class's logit, above which a pixel is of it: half of its probability
SLACK = 1e-5  # of the largest score: rounding must not rule out a class that could win


def first_value(num_classes: int) -> int:
    """The value that class 0 has in a map of so many classes.

    Args:
      num_classes: The model's, as many as its dense output has channels.

    Returns:
      0; of one class 1, for its single channel says whether a pixel is of it, and 0 stands for what is not.
    """
    return int(num_classes == 1)
