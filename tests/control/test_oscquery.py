"""OSCQuery, asked by clients that are not ours: http.client, and websocket-client."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import websocket

from ambientd.control.oscquery import describe
from ambientd.parameters import SLOT_PARAMETERS, Parameter

from .serving import Serving, wait_until
from .wire import PATIENCE, message, told


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


def get(serving: Serving, target: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    assert serving.server.query
    connection = http.client.HTTPConnection("127.0.0.1", serving.server.query.port, timeout=PATIENCE)
    connection.request(method, target, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if body and answer.headers["Content-Type"] == "application/json" else body


@pytest.fixture
def client(serving: Serving) -> Iterator[websocket.WebSocket]:
    assert serving.server.query
    client = websocket.create_connection(f"ws://127.0.0.1:{serving.server.query.port}/", timeout=PATIENCE)
    yield client
    client.close()


def leaves(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "TYPE" in node:
        yield node
    for below in node.get("CONTENTS", {}).values():
        yield from leaves(below)


def test_every_address_is_described(serving: Serving) -> None:
    status, root = get(serving, "/")
    assert (status, root["FULL_PATH"], list(root["CONTENTS"])) == (200, "/", ["ambientd"])
    nodes = {node["FULL_PATH"]: node for node in leaves(root)}
    assert nodes.keys() == {method.address for method in serving.server.reception.space}
    assert all(node["DESCRIPTION"] and node["ACCESS"] for node in nodes.values())
    for parameter in serving.instrument.parameters:
        node = nodes[f"/ambientd/{parameter.id}"]
        own = node["CONTENTS"]["value"]
        assert (node["TYPE"], node["ACCESS"], node["RANGE"]) == ("f", 3, [{"MIN": 0, "MAX": 1}])
        assert own["RANGE"] == [{"MIN": parameter.low, "MAX": parameter.high}]
        assert own["VALUE"] == own["DEFAULT"] == [parameter.default]
        assert (own["WARP"], own["SLEW"]) == (parameter.warp, parameter.slew)
        assert node["DESCRIPTION"] == own["DESCRIPTION"] == parameter.description
    assert nodes["/ambientd/mashup/other/depth/value"]["UNIT"] == ["time.hz"]
    assert nodes["/ambientd/slot/1/gain/value"]["UNIT"] == ["gain.linear"]
    assert "VALUE" not in nodes["/ambientd/play"]
    assert nodes["/ambientd/slot/1/seed"]["VALUE"] == []


def test_a_node_or_one_attribute_of_it(serving: Serving) -> None:
    serving.set("slot/2/pan", 0.5)
    serving.until("slot/2/pan", 0.5)
    assert get(serving, "/ambientd/slot/2/pan/value?VALUE") == (200, {"VALUE": [0.5]})
    status, slot = get(serving, "/ambientd/slot/2")
    assert status == 200
    assert {p.id for p in SLOT_PARAMETERS} <= slot["CONTENTS"].keys()
    assert get(serving, "/ambientd/play?VALUE")[0] == 204
    assert get(serving, "/ambientd/volume?NONSENSE")[0] == 400
    for path in ("/nothing", "/ambientd/slot/3", "/ambientd/volume/value/value", "/../etc/passwd", "//[", "/%00%ff"):
        assert get(serving, path)[0] in (400, 404)


def test_the_host_tells_what_it_can(serving: Serving) -> None:
    status, host = get(serving, "/?HOST_INFO")
    assert (status, host["OSC_PORT"], host["OSC_TRANSPORT"]) == (200, serving.server.port, "UDP")
    assert all(host["EXTENSIONS"][name] for name in ("ACCESS", "VALUE", "RANGE", "UNIT", "LISTEN", "PATH_CHANGED"))


def test_pages_from_elsewhere_are_refused(serving: Serving) -> None:
    assert get(serving, "/", Host="evil.example")[0] == 403
    assert get(serving, "/", Origin="http://evil.example")[0] == 403
    assert get(serving, "/", Origin="null")[0] == 403
    assert get(serving, "/", Host="localhost:7780", Origin="http://localhost:8000")[0] == 200
    assert serving.server.query
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(f"ws://127.0.0.1:{serving.server.query.port}/", origin="http://evil.example")


@pytest.mark.parametrize("method", ["POST", "HEAD", "BREW"])
def test_what_does_not_ask_gets_nothing(serving: Serving, method: str) -> None:
    before = serving.instrument.state()
    assert get(serving, "/ambientd/volume", method)[0] == 405
    assert serving.instrument.state() == before
    assert get(serving, "/ambientd/volume?VALUE") == (200, {"VALUE": [1.0]})


def test_a_flood_of_requests_is_turned_away(serving: Serving) -> None:
    statuses: list[int] = []
    while 429 not in statuses:
        assert len(statuses) < 5000
        statuses.append(get(serving, "/ambientd/ping")[0])
    assert set(statuses) == {200, 429}


def test_a_websocket_plays_and_hears_what_it_listens_to(serving: Serving, client: websocket.WebSocket) -> None:
    client.send_binary(message("/ambientd/volume/value", 0.5))
    serving.until("volume", 0.5)
    client.send(json.dumps({"COMMAND": "LISTEN", "DATA": "/ambientd/slot/1/pan/value"}))
    assert told([client.recv()]) == {"/ambientd/slot/1/pan/value": 0.0}
    serving.set("slot/2/pan", 1.0)
    serving.set("slot/1/pan", -1.0)
    opcode, packet = client.recv_data()
    assert (opcode, told([packet])) == (websocket.ABNF.OPCODE_BINARY, {"/ambientd/slot/1/pan/value": -1.0})
    client.send_binary(message("/ambientd/ping"))
    assert told([client.recv()]) == {"/ambientd/ping": "pong"}
    client.send(json.dumps({"COMMAND": "IGNORE", "DATA": "/ambientd/slot/1/pan/value"}))
    client.send_binary(message("/ambientd/ping"))
    client.recv()
    serving.set("slot/1/pan", 1.0)
    serving.until("slot/1/pan", 1.0)
    client.send(json.dumps({"COMMAND": "LISTEN", "DATA": "/ambientd/volume"}))
    assert "/ambientd/volume" in told([client.recv()])


def test_another_mashup_is_another_tree(serving: Serving, client: websocket.WebSocket) -> None:
    assert "weight" in get(serving, "/ambientd/mashup")[1]["CONTENTS"]
    client.send_binary(message("/ambientd/mashup/select", "other"))
    opcode, text = client.recv_data()
    assert (opcode, json.loads(text)) == (
        websocket.ABNF.OPCODE_TEXT,
        {"COMMAND": "PATH_CHANGED", "DATA": "/ambientd"},
    )
    contents = get(serving, "/ambientd/mashup")[1]["CONTENTS"]
    assert "depth" in contents
    assert "weight" not in contents


def test_a_plugin_that_changes_its_knobs_changes_the_tree(serving: Serving, client: websocket.WebSocket) -> None:
    listen = {"COMMAND": "LISTEN", "DATA": "/ambientd/mashup/weight/1"}
    client.send(json.dumps(listen))
    assert told([client.recv()]) == {"/ambientd/mashup/weight/1": 0.0}
    client.send_binary(message("/ambientd/mashup/weight/1", 0.5))
    serving.until("mashup/weight/1", 0.5)
    serving.redefine("mashup/blend", Parameter("mashup/blend/bias", "Another knob"))
    while (answer := client.recv_data())[0] != websocket.ABNF.OPCODE_TEXT:
        pass
    assert json.loads(answer[1])["COMMAND"] == "PATH_CHANGED"
    assert "bias" in get(serving, "/ambientd/mashup")[1]["CONTENTS"]
    assert get(serving, "/ambientd/mashup/weight/1")[0] == 404


NONSENSE = [b"", b"{}", b"[]", b"1", b"\xff\xff", b'{"COMMAND": 1, "DATA": 2}', b'{"COMMAND": "LISTEN", "DATA": "/x"}']


@pytest.mark.parametrize("text", [*NONSENSE, b"[" * 15_000])
def test_commands_that_make_no_sense_change_nothing(serving: Serving, client: websocket.WebSocket, text: bytes) -> None:
    before = serving.instrument.state()
    client.send(text, websocket.ABNF.OPCODE_TEXT)
    client.send_binary(b"/a\0\0,f\0\0")
    assert get(serving, "/ambientd/ping?VALUE") == (200, {"VALUE": ["pong"]})
    assert serving.instrument.state() == before


def test_fragments_and_giants_end_a_websocket(serving: Serving) -> None:
    assert serving.server.query
    for opcode, data, fin in (
        (websocket.ABNF.OPCODE_TEXT, b"{", 0),
        (websocket.ABNF.OPCODE_BINARY, bytes(1 << 20), 1),
    ):
        client = websocket.create_connection(f"ws://127.0.0.1:{serving.server.query.port}/", timeout=PATIENCE)
        try:
            client.send_frame(websocket.ABNF(fin, opcode=opcode, data=data))
            assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
        except (OSError, websocket.WebSocketConnectionClosedException):
            pass  # the end came before all was sent
        client.shutdown()
    assert get(serving, "/ambientd/ping?VALUE") == (200, {"VALUE": ["pong"]})


def test_a_port_that_is_taken_is_not_the_end() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with Serving(query_port=taken.getsockname()[1]) as serving:
            assert get(serving, "/ambientd/ping?VALUE") == (200, {"VALUE": ["pong"]})


def test_who_is_not_allowed_gets_no_answer() -> None:
    with Serving(allow=["10.0.0.0/8"]) as serving:
        with pytest.raises((ConnectionError, http.client.BadStatusLine)):
            get(serving, "/")
        wait_until(lambda: serving.server.info()["refused"] == 1)


def test_it_can_be_left_out() -> None:
    with Serving(oscquery=False) as serving:
        assert serving.server.info()["query_port"] is None
        assert describe(serving.server.reception.space, "/ambientd/ping")
