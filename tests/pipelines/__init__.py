"""Many images: tf.data, Keras, Ray Data."""
