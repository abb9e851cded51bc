"""Prediction: images in, supervision objects out, on whatever this machine has.

`predictor` holds the Predictor, `predict` the same for files; `pipeline` keeps host and device busy at once.
"""
