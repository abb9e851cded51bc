"""Tokens and certificates: what is taken, and what is refused before anything starts."""

import os
import shutil
import subprocess

import pytest

from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving import credentials

TOKEN = "4f1c" * 8


def make_certificate(folder, name, *options):
    """A certificate for 127.0.0.1 and its key, made by OpenSSL."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate), *(options or ("-days", "3"))]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"), "own")


def test_a_token_and_who_bears_it(tmp_path, caplog):
    path = tmp_path / "token"
    path.write_text(f"\n {TOKEN}\n")
    path.chmod(0o600)
    assert credentials.read_token(path) == TOKEN
    assert not caplog.records
    for given, is_his in (
        ([f"Bearer {TOKEN}"], True),
        ([f"bearer  {TOKEN}"], True),
        ([f"Bearer {TOKEN}x"], False),
        ([f"Bearer {TOKEN[:-1]}"], False),
        ([f"Basic {TOKEN}"], False),
        ([TOKEN], False),
        (["Bearer "], False),
        (["Bearer \u00e9" + TOKEN], False),
        ([], False),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], False),
    ):
        assert credentials.is_bearer_of(TOKEN, given) is is_his


def test_a_token_that_others_may_read(tmp_path, caplog):
    path = tmp_path / "token"
    path.write_text(TOKEN)
    path.chmod(0o644)
    assert credentials.read_token(path) == TOKEN
    assert "can be read by others (mode 644); take that from them with `chmod 600`" in caplog.text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has nothing; expected a file with a token of at least 16 characters"),
        (b"short", "has 5 characters; expected"),
        (b"two tokens in one file", "characters, blanks among them; expected"),
        (f"{TOKEN}\n{TOKEN}".encode(), "has other characters; expected"),
        ("\u00fc".encode() * 20, "has other characters; expected"),
        (b"\xff" * 20, "is no text in utf-8"),
        (b"a" * 10_000, "token_file"),
    ],
)
def test_files_that_hold_no_token(tmp_path, content, message):
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ServingError, match=message) as caught:
        credentials.read_token(path)
    assert TOKEN not in str(caught.value)


def test_no_file_at_all(tmp_path):
    with pytest.raises(ServingError, match="cannot be read: No such file or directory; expected a file with a token"):
        credentials.read_token(tmp_path / "gone")
    with pytest.raises(ServingError, match="token_file"):
        credentials.read_token(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ServingError, match="token_file"):
        credentials.read_token(tmp_path / "pipe")


def test_a_certificate_and_its_key(pair):
    assert credentials.tls_context(*pair).minimum_version.name == "TLSv1_2"
    assert credentials.read_pem(*pair)[0].startswith(b"-----BEGIN CERTIFICATE")


def test_certificates_that_cannot_be_used(pair, tmp_path):
    certificate, key = pair
    _, other_key = make_certificate(tmp_path, "other")
    damaged = tmp_path / "damaged.pem"
    damaged.write_bytes(certificate.read_bytes()[:200])
    empty = tmp_path / "empty.pem"
    empty.touch()
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", str(key), "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    for given, message in (
        ((certificate, other_key), "do not belong together; expected a certificate chain in PEM"),
        ((damaged, key), "cannot be used"),
        ((empty, key), "cannot be used"),
        ((certificate, empty), "cannot be used"),
        ((key, certificate), "cannot be used"),
        ((certificate, locked), "locked by a password; expected a key without one"),
        ((tmp_path / "gone", key), "gone cannot be read: No such file or directory; expected a file in PEM"),
        ((certificate, tmp_path), "tls_key"),
    ):
        with pytest.raises(ServingError, match=message):
            credentials.tls_context(*given)


CA = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
"""


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        ("20200101000000Z", "20210101000000Z", "certificate has expired"),
        ("20990101000000Z", "21000101000000Z", "certificate is not yet valid"),
    ],
)
def test_certificates_out_of_their_time(tmp_path, first, last, message):
    _, key = make_certificate(tmp_path, "own")
    (tmp_path / "ca.cnf").write_text(CA.format(folder=tmp_path))
    (tmp_path / "index.txt").touch()
    (tmp_path / "serial").write_text("01\n")
    asked, made = tmp_path / "a.csr", tmp_path / "a.pem"
    for command in (
        ["openssl", "req", "-new", "-key", key, "-subj", "/CN=localhost", "-out", asked],
        [
            *("openssl", "ca", "-config", tmp_path / "ca.cnf", "-batch", "-selfsign", "-keyfile", key, "-notext"),
            *("-in", asked, "-out", made, "-startdate", first, "-enddate", last),
        ],
    ):
        subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(ServingError, match=f"would be refused by every client: {message}"):
        credentials.tls_context(made, key)
