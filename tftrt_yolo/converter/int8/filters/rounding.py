"""Rounds a filter up or down so that its convolution's output stays, and not each weight for itself.

    steps = round_filter(weights, widths, moments)      # integers: steps * widths is the filter

To the nearest step is best for a weight alone. But the inputs of a convolution go together: where one is large, so are
its neighbours, and what rounding one weight up adds, rounding another down takes off. With H, the inputs' second
moments, the mean squared error of an output is (q - w)' H (q - w), which is a search for the nearest point of a
lattice. Two steps find a good one: weight by weight, each rounded to the nearest step after what was lost before has
been spread over those that are left (the elimination of GPTQ), then single weights as long as another step is better.

Both are exact least squares in float64 on second moments of what is really read; nothing is trained. A weight that is
0 stays 0, as most of a depthwise convolution's are (depthwise.py).

Source: Frantar, Ashkboos, Hoefler, Alistarh, "GPTQ" (2022), section 3, for the elimination in the order of the
inverse's Cholesky factor; Nagel et al., "Up or Down? Adaptive Rounding" (2020), for why nearest is not best.
"""

import numpy as np

from tftrt_yolo.converter.int8.quantization import LEVELS

_DAMPING = 0.01  # of the inputs' mean second moment: what few images say of a direction is not all that there is
_BLOCK = 64  # weights after which what is left is brought up to date
_SWEEPS = 2  # over all weights; a third one changes next to nothing


def round_filter(weights: np.ndarray, widths: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Finds the steps of a filter.

    Args:
      weights: (inputs, outputs) float64, a column an output channel.
      widths: (outputs,) float64, the width of a step of each; above 0.
      moments: (inputs, inputs) float64, mean of x x' over what the convolution reads, symmetric.

    Returns:
      (inputs, outputs) float64 of integers from -127 to 127. Of no column is the error of the output, with the damped
      moments, larger than that of the nearest steps.
    """
    wanted = weights / widths
    nearest = np.clip(np.round(wanted), -LEVELS, LEVELS)
    scale = float(np.diag(moments).mean())
    if not 0 < scale < np.inf:
        return nearest  # nothing is read, so nothing is known
    damped = moments / scale + _DAMPING * np.eye(len(moments))
    try:
        found = _eliminated(wanted, damped)
    except np.linalg.LinAlgError:  # moments that are no moments, of numbers beyond float64's precision
        return nearest
    better = _errors(found - wanted, damped) < _errors(nearest - wanted, damped)
    return _improved(np.where(better, found, nearest), wanted, damped)


def _rounded(values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Values on the grid; 0 where 0 is wanted."""
    return np.where(wanted == 0, 0.0, np.clip(np.round(values), -LEVELS, LEVELS))


def _errors(differences: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Mean squared error of each output, (outputs,)."""
    return ((moments @ differences) * differences).sum(axis=0)


def _eliminated(wanted: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Rounds weight by weight, the one with the largest input first, and spreads what each loses over the others.

    Raises:
      LinAlgError: If the moments are not positive definite.
    """
    order = np.argsort(-np.diag(moments), kind="stable")
    inverse = np.linalg.inv(moments[np.ix_(order, order)])
    factor = np.linalg.cholesky((inverse + inverse.T) / 2).T
    left, steps = wanted[order], np.empty_like(wanted)
    for start in range(0, len(left), _BLOCK):
        end = min(start + _BLOCK, len(left))
        lost = np.empty((end - start, left.shape[1]))
        for place in range(start, end):
            steps[order[place]] = _rounded(left[place], wanted[order[place]])
            lost[place - start] = (left[place] - steps[order[place]]) / factor[place, place]
            left[place + 1 : end] -= factor[place, place + 1 : end, np.newaxis] * lost[place - start]
        left[end:] -= factor[start:end, end:].T @ lost
    return steps


def _improved(steps: np.ndarray, wanted: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Takes other steps for single weights as long as that makes the error smaller; in place."""
    slopes = moments @ (steps - wanted)
    for _ in range(_SWEEPS):
        changed = 0
        for place, row in enumerate(moments):
            best = _rounded(steps[place] - slopes[place] / row[place], wanted[place])
            outputs = np.flatnonzero(best != steps[place])
            if len(outputs):
                slopes[:, outputs] += np.outer(row, best[outputs] - steps[place, outputs])
                steps[place, outputs] = best[outputs]
                changed += len(outputs)
        if not changed:
            break
    return steps
