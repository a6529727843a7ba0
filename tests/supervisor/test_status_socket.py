"""The daemon's end of the status socket: one line for another, whoever asks and however."""

import json
import selectors
import socket
import tempfile
from pathlib import Path

import pytest

from ambientd.errors import ConfigError
from ambientd.ipc.runtime import Refused
from ambientd.supervisor.status_socket import LARGEST_REQUEST, MOST_PEERS, StatusSocket


def refuse(request):
    raise ConfigError("no", "Ask for something else")


@pytest.fixture
def listening():
    with tempfile.TemporaryDirectory() as folder:
        there = StatusSocket(Path(folder) / "s", {"echo": lambda request: request, "refuse": refuse})
        yield there
        there.close()


@pytest.fixture
def connect(listening):
    peers = []

    def one():
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(10)
        peer.connect(str(listening.path))
        peers.append(peer)
        return peer

    yield one
    for peer in peers:
        peer.close()


def settle(listening):
    """Let it do all that there is to do."""
    with selectors.DefaultSelector() as selector:
        selector.register(listening, selectors.EVENT_READ)
        while selector.select(0.05):
            listening.answer()


def test_a_request_may_come_in_pieces(listening, connect):
    peer = connect()
    peer.sendall(b'{"ask": "echo", ')
    settle(listening)
    peer.sendall(b'"x": 1}\nmore')
    settle(listening)
    assert json.loads(peer.makefile().read()) == {"ask": "echo", "x": 1}


@pytest.mark.parametrize("line", [b"{}", b"[]", b"\xff", b'{"ask": ["echo"]}', b'{"ask": "shell"}', b"[" * 5000, b""])
def test_what_is_no_request_is_refused_in_one_line(listening, connect, line):
    peer = connect()
    peer.sendall(line + b"\n")
    settle(listening)
    assert "does not know this request" in json.loads(peer.makefile().read())["error"]


def test_a_refusal_keeps_its_words_and_its_exit_code(listening, connect):
    peer = connect()
    peer.sendall(b'{"ask": "refuse"}\n')
    settle(listening)
    refused = Refused(json.loads(peer.makefile().read()))
    assert (str(refused), refused.exit_code) == ("no. Ask for something else", ConfigError.exit_code)


def test_who_says_nothing_or_too_much_is_let_go(listening, connect):
    silent = [connect() for _ in range(MOST_PEERS)]
    settle(listening)
    endless = connect()
    settle(listening)
    endless.sendall(b" " * (LARGEST_REQUEST + 1))
    settle(listening)
    assert silent[0].recv(1) == b""
    assert endless.recv(1) == b""
    silent[1].sendall(b'{"ask": "echo"}\n')
    settle(listening)
    assert json.loads(silent[1].makefile().read()) == {"ask": "echo"}
