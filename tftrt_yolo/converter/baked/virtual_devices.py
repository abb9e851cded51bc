"""A machine for Grappler to think of: its passes ask what devices there are, and do other things, or nothing, without.

tf_optimizer.OptimizeGraph(config, meta_graph, cluster=virtual_devices.cluster_with(has_gpu=True))
"""

from tensorflow.core.protobuf import device_properties_pb2
from tensorflow.python.grappler import cluster

HOPPER, PASCAL = "9.0", "6.0"  # from Volta on, the layout pass may choose channels last


def cluster_with(*, has_gpu: bool, architecture: str = HOPPER) -> cluster.Cluster:
    """The machine that a pass is to think of, wherever it runs.

    Args:
      has_gpu: Whether it has a GPU beside its CPU. The float16 pass looks for one that multiplies float16 fast; the
        bfloat16 pass leaves alone what a GPU would run.
      architecture: The GPU's compute capability.

    Returns:
      A cluster whose devices are named as in a graph that was placed.
    """
    properties = device_properties_pb2.DeviceProperties
    gpu = properties(
        type="GPU",
        vendor="NVIDIA",
        num_cores=132,
        frequency=1_980,  # MHz
        memory_size=80 << 30,
        environment={"architecture": architecture, "cuda": "12030", "cudnn": "8900"},
    )
    cpu = properties(type="CPU", num_cores=4, frequency=2_000, memory_size=8 << 30)
    names = {"/device:CPU:0": cpu} | ({"/device:GPU:0": gpu} if has_gpu else {})
    return cluster.Cluster(
        devices=[device_properties_pb2.NamedDevice(name=name, properties=device) for name, device in names.items()]
    )
