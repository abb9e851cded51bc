"""Verbs that are made of other verbs: `demo` exports, converts and predicts; `benchmark` converts and measures."""
