"""INT8 by the ranges that a network was trained with."""
