import asyncio
import contextlib
import queue
import socket
import subprocess
import threading

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2, service_pb2_grpc
from tritonclient.utils import InferenceServerException

from tests.serving.calls import refused
from tftrt_yolo.ground.errors import ServingError
from tftrt_yolo.serving.observing.observing import Observing
from tftrt_yolo.serving.rpc.door import RpcDoor
from tftrt_yolo.serving.scheduling.hub import Hub
from tftrt_yolo.serving.scheduling.inference import ModelState, Outcome, Signature, TensorSpec
from tftrt_yolo.serving.scheduling.refusals import Refusal, RefusedError
from tftrt_yolo.serving.serving_options import BatchingOptions, ListenOptions, ModelOptions, ObservingOptions

HELD = 3
TOKEN = "0123456789abcdef" * 2
SIGNATURE = Signature({"images": TensorSpec("uint8", (None, None, None, 3))}, {"sums": TensorSpec("int64", (None,))})
STATE = ModelState("sums", 1, "READY", signatures={"serving_default": SIGNATURE}, max_batch_size=4)


class Sums(Hub):
    """A model that is quick, or waits for as many fiftieths of a second as the first pixel says, or fails.

    Where the second pixel is HELD, it waits for `released`.
    """

    def __init__(self):
        super().__init__(ModelOptions(saved_model_dir="none"), BatchingOptions())
        self.is_answering, self.cancelled = True, 0
        self.released = asyncio.Event()

    def models(self):
        return (STATE,)

    def model(self, name, version=None):
        return STATE

    async def is_ready(self, name=None, version=None):
        return self.is_answering

    async def infer(self, inference):
        images = inference.inputs["images"]
        try:
            await asyncio.sleep(images[0, 0, 0, 0] / 50)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if images[0, 0, 0, 1] == HELD:
            await self.released.wait()
        if images[0, 0, 0, 1] == 1:
            raise RefusedError(Refusal.UNAVAILABLE, "The queue is full. é" * 400, retry_after_seconds=1.5)
        if images[0, 0, 0, 1] == 2:
            raise KeyError("/secret/path")
        return Outcome({"sums": images.sum((1, 2, 3), dtype=np.int64)}, "sums", 1, 1, 0.0, 0.0)


def request_of(first=0, second=0):
    pixels = bytes([first, second, 0])
    request = service_pb2.ModelInferRequest(model_name="sums", raw_input_contents=[pixels])
    request.inputs.add(name="images", datatype="UINT8", shape=[1, 1, 1, 3])
    return request


@contextlib.contextmanager
def opened(token=None, **listen):
    """A door before `Sums`, in a thread; gives its port, its hub and what closes it."""
    ready, found = threading.Event(), {}

    async def serve():
        found["loop"], found["close"] = asyncio.get_running_loop(), asyncio.Event()
        found["hub"], found["observing"] = Sums(), Observing(ObservingOptions(log_format="none"))
        try:
            options = ListenOptions(grpc_port=listen.pop("grpc_port", 0), **listen)
            door = RpcDoor(found["hub"], options, found["observing"], token=token, request_timeout_s=20.0)
            await door.start()
            found["port"] = door.port
            ready.set()
            await found["close"].wait()
            await door.stop(10.0)
        except Exception as error:  # noqa: BLE001 - the test raises it
            found["error"] = error
        finally:
            found["observing"].close()
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(60)
    found["end"] = lambda: found["loop"].call_soon_threadsafe(found["close"].set)
    try:
        if "error" in found:
            raise found["error"]
        yield found
    finally:
        if thread.is_alive():
            with contextlib.suppress(RuntimeError):
                found["end"]()
        thread.join(60)
        assert not thread.is_alive()


@contextlib.contextmanager
def stub_of(port, metadata=(), credentials=None):
    address = f"127.0.0.1:{port}"
    made = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with made as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture(scope="module")
def door():
    with opened() as door:
        yield door


def test_refusals_have_their_status_and_say_when_to_try_again(door):
    with stub_of(door["port"]) as stub:
        with refused(grpc.StatusCode.UNAVAILABLE, "The queue is full") as caught:
            stub.ModelInfer(request_of(second=1))
        assert dict(caught.value.trailing_metadata())["retry-after"] == "2"
        assert len(caught.value.details()) < 2_000
        with refused(grpc.StatusCode.INTERNAL, "The server failed at this call; its log says why") as caught:
            stub.ModelInfer(request_of(second=2))
        assert "secret" not in str(caught.value)
        assert stub.ModelInfer(request_of(3, 4)).raw_output_contents == [(7).to_bytes(8, "little")]


def test_a_client_that_goes_away_or_is_late_takes_its_call_back(door):
    hub, metrics = door["hub"], door["observing"].metrics
    before = metrics.outcomes()
    with stub_of(door["port"]) as stub:
        for end in ("cancel", "deadline", "channel"):
            known = hub.cancelled
            call = stub.ModelInfer.future(request_of(255), timeout=0.3 if end == "deadline" else None)
            if end == "cancel":
                stub.ServerLive(service_pb2.ServerLiveRequest())
                stub.ModelInfer(request_of())  # the other one is there by now
                call.cancel()
            if end == "channel":
                stub.ModelInfer(request_of())
                break
            with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
                call.result()
            stub.ModelInfer(request_of(10))  # a fifth of a second
            assert hub.cancelled == known + 1
    with stub_of(door["port"]) as stub:  # the channel was closed with a call in it
        stub.ModelInfer(request_of(10))
    assert hub.cancelled == known + 1
    after = metrics.outcomes()
    assert after["cancelled"] - before.get("cancelled", 0) == 2
    assert after["deadline_exceeded"] - before.get("deadline_exceeded", 0) == 1


def test_a_stream_that_is_cut_takes_its_requests_back(door):
    known = door["hub"].cancelled
    with stub_of(door["port"]) as stub:
        sent = threading.Event()

        def requests():
            for _ in range(5):
                yield request_of(255)
            yield request_of()
            sent.wait(30)

        call = stub.ModelStreamInfer(requests())
        stub.ModelInfer(request_of(10))
        call.cancel()
        sent.set()
        stub.ModelInfer(request_of(10))
    assert door["hub"].cancelled == known + 5


def test_a_token_is_asked_for_but_for_health():
    with opened(token=TOKEN) as door:
        for given in ((), (("authorization", "Bearer x"),), (("authorization", f"Basic {TOKEN}"),)):
            with stub_of(door["port"]) as stub:
                words = "bears no token, or another. Send the metadata `authorization: Bearer TOKEN`"
                with refused(grpc.StatusCode.UNAUTHENTICATED, words):
                    stub.ModelInfer(request_of(), metadata=given)
                with refused(grpc.StatusCode.UNAUTHENTICATED, words):
                    stub.ServerMetadata(service_pb2.ServerMetadataRequest(), metadata=given)
                with refused(grpc.StatusCode.UNAUTHENTICATED, words):
                    list(stub.ModelStreamInfer(iter([request_of()]), metadata=given))
                assert stub.ServerLive(service_pb2.ServerLiveRequest(), metadata=given).live
                assert stub.ServerReady(service_pb2.ServerReadyRequest(), metadata=given).ready
        assert door["observing"].metrics.outcomes() == {"unauthenticated": 9}
        with stub_of(door["port"]) as stub:
            good = (("authorization", f"Bearer {TOKEN}"),)
            assert stub.ModelInfer(request_of(3), metadata=good).model_name == "sums"
            assert len(list(stub.ModelStreamInfer(iter([request_of()] * 3), metadata=good))) == 3
        with triton.InferenceServerClient(f"127.0.0.1:{door['port']}") as client:
            images = triton.InferInput("images", [1, 1, 1, 3], "UINT8")
            images.set_data_from_numpy(np.array([[[[0, 0, 3]]]], np.uint8))
            found = client.infer("sums", [images], headers={"authorization": f"Bearer {TOKEN}"})
            assert found.as_numpy("sums").tolist() == [3]


def test_tls(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    with opened(tls_certificate=certificate, tls_key=key) as door:
        with stub_of(door["port"], credentials=grpc.ssl_channel_credentials(certificate.read_bytes())) as stub:
            assert stub.ModelInfer(request_of(3)).model_name == "sums"
        with stub_of(door["port"]) as stub, refused(grpc.StatusCode.UNAVAILABLE, "connect"):
            stub.ModelInfer(request_of(3), timeout=10)


def test_a_port_that_is_in_use_or_of_another_machine(door):
    with pytest.raises(ServingError, match=r"grpc_port .* is in use"), opened(grpc_port=door["port"]):
        pass
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServingError, match=rf"grpc_port {port} of .* is in use"), opened(grpc_port=port):
            pass
    with (
        pytest.raises(ServingError, match=r"host 192\.0\.2\.1 is no address of this machine"),
        opened(host="192.0.2.1"),
    ):
        pass


def test_at_the_end_what_goes_on_is_finished_and_the_rest_refused():
    with opened() as door, stub_of(door["port"]) as stub:
        call = stub.ModelInfer.future(request_of(50))  # a second
        streamed = stub.ModelStreamInfer(iter([request_of(40), request_of(45)]))
        stub.ModelInfer(request_of())
        door["end"]()
        assert call.result(timeout=30).model_name == "sums"
        assert [answer.error_message for answer in streamed] == ["", ""]
        with refused(grpc.StatusCode.UNAVAILABLE, "connect"):
            stub.ModelInfer(request_of(), timeout=10)


def test_what_is_no_grpc_or_sends_nothing_harms_nobody(door):
    with contextlib.ExitStack() as stack:
        for data in (
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 99,
            b"",
        ):
            for _ in range(20):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", door["port"]), timeout=30))
                connection.sendall(data)
        with stub_of(door["port"]) as stub:
            assert stub.ModelInfer(request_of(3)).model_name == "sums"


def codes_of_held(calls, door, refused):
    """The codes of calls that are all under way at once: they are let go when so many were refused."""
    ends = queue.Queue()
    for call in calls:
        call.add_done_callback(ends.put)
    for _ in range(refused):
        assert ends.get(timeout=15).code() != grpc.StatusCode.OK
    door["loop"].call_soon_threadsafe(door["hub"].released.set)
    return [call.code() for call in calls]


def test_calls_beyond_what_is_taken_at_once_are_refused(door):
    with contextlib.ExitStack() as stack:
        options = [("grpc.use_local_subchannel_pool", 1)]  # a connection each
        calls = []
        for _ in range(6):
            channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{door['port']}", options=options))
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            calls += [stub.ModelInfer.future(request_of(second=HELD)) for _ in range(100)]
        codes = codes_of_held(calls, door, refused=1)
        assert codes.count(grpc.StatusCode.OK) >= 512
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert stub.ModelInfer(request_of(3)).model_name == "sums"


def test_messages_that_take_too_much_together_are_refused():
    with opened(max_body_bytes=1 << 16) as door, stub_of(door["port"]) as stub:
        request = request_of(second=HELD)
        request.id = "x" * 60_000
        calls = [stub.ModelInfer.future(request) for _ in range(40)]
        codes = codes_of_held(calls, door, refused=40 - 16 * (1 << 16) // request.ByteSize())
        assert codes.count(grpc.StatusCode.OK) == 16 * (1 << 16) // request.ByteSize()
        assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        late = next(call for call in calls if call.code() == grpc.StatusCode.UNAVAILABLE)
        assert late.details() == (
            "Requests with more than 1,048,576 bytes are under way together. Try again in a moment."
        )
        assert dict(late.trailing_metadata())["retry-after"] == "1"
        [answer] = stub.ModelStreamInfer(iter([request]))
        assert answer.error_message == ""


def test_answers_that_take_too_much_are_refused():
    """An answer has a sum of 8 bytes, which counts four times until it is sent."""
    with opened(max_answer_bytes=80) as door, stub_of(door["port"]) as stub:
        for _ in range(5):
            assert stub.ModelInfer(request_of(3)).model_name == "sums"
        large = service_pb2.ModelInferRequest(model_name="sums", raw_input_contents=[bytes(9)])
        large.inputs.add(name="images", datatype="UINT8", shape=[3, 1, 1, 3])
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "The answer takes up to 96 bytes; expected at most 80"):
            stub.ModelInfer(large)
        requests = queue.SimpleQueue()
        answers = stub.ModelStreamInfer(iter(requests.get, None))
        for second in (HELD, 0, 0, 0):  # what comes after the first is computed, and waits for it
            requests.put(request_of(3, second))
        while sum(door["observing"].metrics.outcomes().get(end, 0) for end in ("ok", "unavailable")) < 5 + 3:
            assert stub.ServerLive(service_pb2.ServerLiveRequest()).live
        with refused(grpc.StatusCode.UNAVAILABLE, "Answers with more than 80 bytes are under way together"):
            stub.ModelInfer(request_of(3))
        door["loop"].call_soon_threadsafe(door["hub"].released.set)
        found = [next(answers).error_message for _ in range(4)]
        full = "Answers with more than 80 bytes are under way together (--max_answer_bytes). Try again in a moment."
        assert found == [full, "", "", full]
        requests.put(request_of(3))
        assert next(answers).error_message == ""
        requests.put(None)


def test_health_as_load_balancers_ask_for_it(door):
    pytest.importorskip("grpc_health", reason="grpcio-health-checking is not installed")
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    def asked(name=""):
        return health_pb2.HealthCheckRequest(service=name)

    response = health_pb2.HealthCheckResponse
    with grpc.insecure_channel(f"127.0.0.1:{door['port']}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for name in ("", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService"):
            assert stub.Check(asked(name)).status == response.SERVING
        with refused(grpc.StatusCode.NOT_FOUND, "no service 'dog'; known are inference.GRPCInferenceService"):
            stub.Check(asked("dog"))
        watching = stub.Watch(asked())
        assert next(watching).status == response.SERVING
        door["hub"].is_answering = False
        try:
            assert stub.Check(asked()).status == response.NOT_SERVING
            assert next(watching).status == response.NOT_SERVING
        finally:
            door["hub"].is_answering = True
        assert next(watching).status == response.SERVING
        watching.cancel()
        assert next(stub.Watch(asked("dog"))).status == response.SERVICE_UNKNOWN


def test_ready_is_what_the_hub_says(door):
    with triton.InferenceServerClient(f"127.0.0.1:{door['port']}") as client:
        assert client.is_server_ready()
        assert client.is_model_ready("sums")
        door["hub"].is_answering = False
        try:
            assert client.is_server_live()
            assert not client.is_server_ready()
            assert not client.is_model_ready("sums")
            with pytest.raises(InferenceServerException, match="The version is '0'"):
                client.is_model_ready("sums", "0")
        finally:
            door["hub"].is_answering = True
