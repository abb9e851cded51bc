"""models.config: what others wrote stays, what is not understood is refused."""

import pytest
from google.protobuf import text_format

pytest.importorskip("tensorflow_serving")
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving.tf_serving_files import model_config

CATS = 'config { name: "cats" base_path: "/models/cats" model_version_policy { all {} } }'
WAYS = {
    "plain": f"model_config_list {{ {CATS} }}",
    "with a colon": f"model_config_list: {{ {CATS} }}",
    "in two": f'model_config_list {{\n{CATS}\nconfig {{ name: "dogs" base_path: "/d" }}\n}}\n\n\n',
    "as a list": 'model_config_list { config: [{ name: "cats" base_path: "/models/cats" }] }',
    "with comments": f"# {{\nmodel_config_list {{ # }}\n{CATS} # }} }}\n}} # }}\n# }}",
    "with a brace in a name": 'model_config_list { config { name: "}" base_path: "}}" } }',
    "empty list": "model_config_list {}",
    "empty": "",
    "comments alone": "# nobody yet",
    "windows": f"model_config_list {{\r\n{CATS}\r\n}}\r\n",
}


@pytest.mark.parametrize("text", WAYS.values(), ids=WAYS)
def test_a_model_is_put_behind_the_others(tmp_path, text):
    path = tmp_path / "models.config"
    path.write_bytes(text.encode())
    before = text_format.Parse(text, ModelServerConfig())
    extended = model_config.extended(path, "digits", "/models/digits")
    after = text_format.Parse(extended, ModelServerConfig())
    [*others, own] = after.model_config_list.config
    assert others == list(before.model_config_list.config)
    assert (own.name, own.base_path) == ("digits", "/models/digits")
    assert all(line.strip() in extended for line in text.splitlines() if "}" not in line or "#" in line)
    path.write_bytes(extended.encode())
    assert model_config.extended(path, "digits", "/models/digits") == extended
    assert model_config.named_versions(extended, "digits") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: 3", r"models\.config is not understood, so nothing is added to it: 1:1.*Mend it, or move it away"),
        ("model_config_list {", r"is not understood"),
        ('custom_model_config { type_url: "x" }', r"it has a custom_model_config"),
        (b"\xff\xfe", r"is no text in utf-8"),
        (b"\0" * (2 << 20), r"has 2,097,152 bytes; at most 1,048,576 are read"),
        ("model_config_list < config < name: 'a' > >", r"its list of models has no end that is found"),
        (
            'model_config_list { config { name: "digits" base_path: "/x" } }',
            r"has the model 'digits' with base_path '/",
        ),
        ('model_config_list { config { name: "digits" } }', r"with base_path ''; expected /models/digits"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path, text, message):
    path = tmp_path / "models.config"
    data = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(data)
    with pytest.raises(ServingError, match=message):
        model_config.extended(path, "digits", "/models/digits")
    assert path.read_bytes() == data


def test_what_is_no_file(tmp_path):
    (tmp_path / "models.config").mkdir()
    with pytest.raises(ServingError, match=r"is not understood.*is a folder"):
        model_config.extended(tmp_path / "models.config", "digits", "/models/digits")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ServingError, match=r"dangling cannot be read: No such file"):
        model_config.extended(tmp_path / "dangling", "digits", "/models/digits")
