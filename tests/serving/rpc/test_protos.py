import subprocess
import sys

PROGRAM = """
import sys
from tftrt_yolo.serving.rpc.protos import tensorflow_serving

request = tensorflow_serving().predict_pb2.PredictRequest()
assert not [name for name in sys.modules if name in ("tensorflow", "tensorflow.python")]
request.inputs["images"].tensor_content = b"1"
import tensorflow as tf  # comes whole, and has the same messages

request.inputs["images"].CopyFrom(tf.make_tensor_proto([1.0, 2.0]))
print(tf.make_ndarray(tensorflow_serving().predict_pb2.PredictRequest.FromString(
    request.SerializeToString()).inputs["images"]).sum() + tf.constant(4.0).numpy())
"""


def test_messages_come_without_tensorflow_and_do_not_keep_it_away():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("7.0", 0), done.stderr
