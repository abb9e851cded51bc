"""How sure the figures of an evaluation are, and how sure the models themselves: intervals, scores, best thresholds."""
