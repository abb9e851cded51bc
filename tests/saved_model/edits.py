"""Edits of SavedModels for the tests of what is made of them."""

import hashlib
import shutil

import yaml
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


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
