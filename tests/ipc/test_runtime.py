"""Finding a running daemon and asking it how it does."""

from __future__ import annotations

import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ambientd.errors import DaemonError
from ambientd.ipc.runtime import ask_status, runtime_folder, status_socket_path


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@contextmanager
def daemon_that_answers(answer: bytes) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(status_socket_path()))
        server.listen()
        server.settimeout(10)

        def answer_one() -> None:
            peer, _ = server.accept()
            with peer:
                assert peer.makefile("rb").readline() == b'{"ask": "status"}\n'
                peer.sendall(answer)

        thread = threading.Thread(target=answer_one)
        thread.start()
        yield
        thread.join(10)


def test_the_folder_is_the_users_alone(own_folder: Path) -> None:
    assert runtime_folder() == own_folder / "ambientd"
    assert stat.S_IMODE(runtime_folder().stat().st_mode) == 0o700


def test_a_folder_that_others_can_write_to_is_refused(own_folder: Path) -> None:
    (own_folder / "ambientd").mkdir()
    (own_folder / "ambientd").chmod(0o777)
    with pytest.raises(DaemonError, match="is not yours alone"):
        runtime_folder()


def test_a_link_in_the_folders_place_is_refused(own_folder: Path) -> None:
    (own_folder / "elsewhere").mkdir()
    (own_folder / "ambientd").symlink_to(own_folder / "elsewhere")
    with pytest.raises(DaemonError, match="is not yours alone"):
        runtime_folder()


def test_the_answer_is_one_line_of_json() -> None:
    with daemon_that_answers(b'{"volume": 1}\n'):
        assert ask_status() == {"volume": 1}


@pytest.mark.parametrize("answer", [b"", b'{"volume": ', b"[1]\n", b"\xff\n"])
def test_a_broken_answer_is_one_clear_line(answer: bytes) -> None:
    with daemon_that_answers(answer), pytest.raises(DaemonError, match="broke off its answer"):
        ask_status()


def test_no_daemon_is_one_clear_line() -> None:
    with pytest.raises(DaemonError, match="ambientd is not running"):
        ask_status()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(status_socket_path()))
    with pytest.raises(DaemonError, match="ambientd is not running"):
        ask_status()


def test_a_path_too_long_for_a_socket_is_one_clear_line(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(own_folder / ("long" * 30)))
    with pytest.raises(DaemonError, match=r"too long for a socket\. Set XDG_RUNTIME_DIR"):
        status_socket_path()
