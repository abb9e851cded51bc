"""Convolutions that stay in float beside those in INT8, and the network divided so that TF-TRT can take both."""
