"""BatchingParameters of TensorFlow Serving, which its Python package leaves out, made of its fields.

Source: tensorflow_serving/servables/tensorflow/session_bundle_config.proto of 2.17.1: every field, with its number.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

_WRAPPED = {  # fields that are messages around a value: number and kind
    "max_batch_size": (1, "Int64Value"),
    "batch_timeout_micros": (2, "Int64Value"),
    "max_enqueued_batches": (3, "Int64Value"),
    "num_batch_threads": (4, "Int64Value"),
    "thread_pool_name": (5, "StringValue"),
    "enable_large_batch_splitting": (8, "BoolValue"),
    "max_execution_batch_size": (9, "Int64Value"),
}


def _message():
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="serving", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    message = file.message_type.add(name="BatchingParameters")
    field = descriptor_pb2.FieldDescriptorProto
    for name, (number, kind) in _WRAPPED.items():
        one = message.field.add(name=name, number=number, type=field.TYPE_MESSAGE, label=field.LABEL_OPTIONAL)
        one.type_name = f".google.protobuf.{kind}"
    message.field.add(name="allowed_batch_sizes", number=6, type=field.TYPE_INT64, label=field.LABEL_REPEATED)
    message.field.add(name="pad_variable_length_inputs", number=7, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving.BatchingParameters"))


def batching_parameters(text):
    """The message of a text; what the server would not read, or not take, raises.

    Source of what it takes: CreateBatchingSession in tensorflow_serving/batching/batching_session.cc.
    """
    found = text_format.Parse(text, _message()())
    sizes = list(found.allowed_batch_sizes)
    assert sizes == sorted(set(sizes)), "allowed_batch_sizes entries must be monotonically increasing"
    assert not sizes or sizes[-1] == found.max_batch_size.value, "the last of them must match max_batch_size"
    return found
