"""The rehearsal: TF-TRT runs end to end where a GPU is and TensorRT is not, and the stand-in computes its engines."""
