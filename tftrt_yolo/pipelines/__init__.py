"""Many images: TensorFlow's own pipelines, and engines for many machines.

`map` takes a tf.data.Dataset through a model and `layer` makes a Keras layer of it, with no Python in the data path;
`batch` runs a job over millions of images on Ray Data, which is continued where it was interrupted.
"""
