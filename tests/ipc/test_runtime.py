"""Finding a running daemon and asking it how it does."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ambientd.cli import main
from ambientd.errors import DaemonError
from ambientd.ipc import runtime
from ambientd.ipc.runtime import ask_status, runtime_folder, socket_to_ask, status_socket_path

SERVICE, STRANGER = 61_184, 4242
"""Numbers of users that own nothing."""
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder with a path short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@contextmanager
def daemon_that_answers(answer: bytes, path: Path | None = None) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path or status_socket_path()))
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


def test_asking_makes_nothing_and_tells_nobody_to_remove_anything(
    own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert socket_to_ask() == own_folder / "ambientd" / "status.sock"
    assert list(own_folder.iterdir()) == []
    runtime_folder()
    monkeypatch.setattr(os, "getuid", lambda: STRANGER)
    monkeypatch.setattr(runtime, "ROOT", STRANGER)
    with pytest.raises(DaemonError, match="is another user's") as error:
        ask_status()
    assert "emove" not in str(error.value)
    assert "--system" in error.value.remedy


@pytest.fixture
def service_folder(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runtime folder of the machine's service, of a user of its own."""
    folder = own_folder / "run" / "ambientd"
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o755)
    monkeypatch.setattr(runtime, "SYSTEM", folder)
    return folder


def given_to(user: int, *paths: Path) -> None:
    for path in paths:
        os.chown(path, user, user, follow_symlinks=False)


@needs_root
def test_the_machines_service_answers_root_from_its_own_users_folder(service_folder: Path) -> None:
    path = service_folder / "status.sock"
    with daemon_that_answers(b'{"volume": 1}\n', path):
        given_to(SERVICE, service_folder, path)
        assert socket_to_ask(system=True) == path
        assert ask_status(socket_to_ask(system=True)) == {"volume": 1}


@needs_root
@pytest.mark.parametrize("fault", ["socket", "socket's link", "folder", "above", "link", "owner above"])
def test_somebody_elses_socket_is_never_the_services(service_folder: Path, fault: str) -> None:
    path = service_folder / "status.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        given_to(SERVICE, service_folder, path)
        match fault:
            case "socket":
                given_to(STRANGER, path)
            case "socket's link":
                path.rename(path.with_name("away"))
                path.symlink_to("away")
                given_to(SERVICE, path)
            case "folder":
                service_folder.chmod(0o777)
            case "above":  # anybody could have made the folder
                service_folder.parent.chmod(0o1777)
            case "link":
                service_folder.rename(service_folder.parent / "away")
                service_folder.symlink_to(service_folder.parent / "away")
            case "owner above":
                given_to(STRANGER, service_folder.parent)
        with pytest.raises(DaemonError, match=r"could answer|another user's"):
            socket_to_ask(system=True)


def test_a_service_that_does_not_run_is_one_clear_line(service_folder: Path) -> None:
    with pytest.raises(DaemonError, match=r"the machine's service is not running\. Start it: systemctl start"):
        ask_status(socket_to_ask(system=True))
    service_folder.rmdir()
    with pytest.raises(DaemonError, match="the machine's service is not running"):
        ask_status(socket_to_ask(system=True))


def test_who_may_not_ask_the_service_is_told_who_may(service_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> os.stat_result:
        raise PermissionError

    monkeypatch.setattr(Path, "lstat", refuse)  # root may look everywhere
    with pytest.raises(DaemonError, match=r"only root.*Use sudo"):
        socket_to_ask(system=True)


def test_whoever_asks_in_vain_is_told_of_the_machines_service(service_folder: Path) -> None:
    with pytest.raises(DaemonError, match="asked with --system"):
        ask_status()


@pytest.mark.parametrize("command", ["status", "reload"])
def test_the_commands_reach_the_machines_service(
    service_folder: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    asked = []

    def ask(request: dict[str, str], path: Path) -> dict[str, Any]:
        asked.append((request["ask"], path))
        return {}

    monkeypatch.setattr(runtime, "ask", ask)
    done = CliRunner().invoke(main, [command, "--system", "--json"], catch_exceptions=False)
    assert done.output == "{}\n"
    assert asked == [(command, service_folder / "status.sock")]
