"""Edits of SavedModels for the tests of what is made of them."""

import hashlib
import json
import shutil

import tensorflow as tf
import yaml
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from tftrt_yolo.saved_model import saved_model_pb, write
from tftrt_yolo.saved_model.handle import open_saved_model


def copied(source, folder):
    """A copy to edit."""
    return shutil.copytree(source, folder / "edited_saved_model")


def edit_metadata(model, change):
    """Has `change` edit what metadata.yaml holds; gives the directory."""
    path = model / "metadata.yaml"
    document = yaml.safe_load(path.read_text())
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))
    return model


def forget_digests(model):
    """The SavedModel as a version before them would have written it; gives the directory."""
    if not (model / "metadata.yaml").exists():
        return model
    return edit_metadata(model, lambda document: document["tftrt_yolo"].pop("files", None))


def renew_digests(model):
    """The SavedModel as somebody would leave it who means what he edited; gives the directory."""
    files = {p.relative_to(model).as_posix(): p for p in model.rglob("*") if p.is_file() and p.name != "metadata.yaml"}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return edit_metadata(model, lambda document: document["tftrt_yolo"].update(files=digests))


def edit_graph(model, change):
    """Has `change` edit the message of the graph, and makes the digests anew; gives the directory."""
    path = model / "saved_model.pb"
    message = SavedModel.FromString(path.read_bytes())
    change(message.meta_graphs[0])
    path.write_bytes(message.SerializeToString())
    return renew_digests(model)


def with_built_engine(conversion, folder):
    """A conversion as TF-TRT saves it with its engine built, the bytes of which are none; gives the directory.

    Saved twice, as `convert` does: what is loaded with a file of an engine keeps the file's path in a variable.
    """
    handle = open_saved_model(conversion)
    [name] = saved_model_pb.engine_nodes(saved_model_pb.read(handle.directory).meta_graphs[0].graph_def)
    folder.mkdir()
    engine = folder / f"trt-serialized-engine.{name}"
    engine.write_bytes((6).to_bytes(8, "little") + b"1234engine5678")  # a TFRecord's length, sums and bytes
    root = tf.Module()
    root.loaded, root.engine = tf.saved_model.load(str(handle.directory)), tf.saved_model.Asset(str(engine))
    tf.saved_model.save(root, str(folder / "first"), signatures=dict(root.loaded.signatures))
    loaded, model = tf.saved_model.load(str(folder / "first")), folder / "built_saved_model"
    network = loaded.signatures["network"]
    model.mkdir()
    write.save(lambda frames: network(frames=frames), handle.metadata, model, tracked=loaded)
    report = json.loads((handle.directory / "conversion.json").read_text())
    report |= {"engines_built": True, "why_not_built": "", "engine_bytes": 6, "loaded_tensorrt": "8.6.1"}
    (model / "conversion.json").write_text(json.dumps(report))
    return renew_digests(model)
