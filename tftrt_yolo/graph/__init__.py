"""TensorFlow ops inside every SavedModel: from images to frames, to boxes, to objects.

`letterbox`, `crop` and `stretch` bring images into frames, `decoding` is what the tasks' decodes are made of, `nms`
selects.
"""
