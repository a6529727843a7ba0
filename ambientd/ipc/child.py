"""A process and its line to the supervisor: JSON lines both ways, and the end of the line is the end of the child.

`Child` is the supervisor's end, `ParentLink` and `child_main` are the child's. The first line down
is the child's configuration, later ones are commands; lines up are events; stderr is the log.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any, NoReturn

from ambientd.errors import AmbientdError
from ambientd.ipc.orphan import die_with_parent

Message = dict[str, Any]

MAX_PENDING = 1 << 20
"""Bytes kept for a reader that does not read; further messages are dropped and counted."""
KILL_SECONDS = 1.0
"""What a killed process is waited for. One that a driver holds back ends when the driver lets it go."""


class Child:
    """The supervisor's end of one child process. Not thread-safe; no method waits, except `wait`."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._writer = _LineWriter(process.stdin.fileno())
        self._reader = _LineReader(process.stdout.fileno())

    @classmethod
    def spawn(
        cls,
        module: str,
        config: Message,
        fds: Sequence[int] = (),
        stderr: IO[bytes] | int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Child:
        """Start `python -m module` with the descriptors `fds` inherited under their own numbers.

        A session of its own keeps a Ctrl-C in the terminal from reaching the child: the supervisor
        decides how things end.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
            pass_fds=tuple(fds),
            env=env,
            start_new_session=True,
        )
        child = cls(process)
        child.send(config)
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """None while alive; negative: the signal that ended it."""
        return self._process.poll()

    @property
    def dropped(self) -> int:
        """Messages that a hung child had no room for."""
        return self._writer.dropped

    def fileno(self) -> int:
        """For `selectors`: readable when `poll` has something, and for ever once the child has ended."""
        return self._reader.fd

    def send(self, message: Message) -> None:
        """Queue one command. To a dead child it is lost silently: `alive` tells."""
        self._writer.send(message)

    def poll(self) -> list[Message]:
        """The events that have arrived since the last call, also those of a child that has died since.

        Call it several times a second: it also passes on what the pipe had no room for.
        """
        self._writer.flush()
        return self._reader.read()

    def terminate(self) -> None:
        """Close the line: the child exits by itself, at once."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._writer.close()
            self._process.stdin.close()

    def kill(self) -> None:
        """End it now, even when it is stopped or hangs, and collect it; waits `KILL_SECONDS` at the most."""
        self.terminate()
        self._process.kill()
        self.wait(KILL_SECONDS)

    def wait(self, timeout: float) -> bool:
        """True when the child was gone within `timeout` seconds."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Kill it if need be, and give the pipes back."""
        self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()


class ParentLink:
    """The child's end. A thread reads it, and ends the whole process when the supervisor is gone.

    Where the thread cannot, because the process is stopped or hangs, the kernel does: see `ipc.orphan`.
    """

    def __init__(self, commands: IO[bytes], events_fd: int) -> None:
        die_with_parent()
        self._commands = commands
        self._writer = _LineWriter(events_fd)
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Message] = queue.SimpleQueue()
        line = commands.readline()
        if not line:
            os._exit(0)
        self.config: Message = json.loads(line)
        threading.Thread(target=self._listen, name="parent-link", daemon=True).start()

    @classmethod
    def open(cls) -> ParentLink:
        """Take over stdin and stdout. What a library prints to stdout goes to the log from now on."""
        events_fd = os.dup(1)
        os.dup2(2, 1)
        return cls(sys.stdin.buffer, events_fd)

    def send(self, event: Message) -> None:
        """Any thread; never waits for the supervisor."""
        with self._lock:
            self._writer.send(event)

    def poll(self, timeout: float = 0.0) -> list[Message]:
        """The commands that have arrived; waits up to `timeout` seconds for the first."""
        with self._lock:
            self._writer.flush()
        commands: list[Message] = []
        try:
            commands.append(self._queue.get(timeout > 0, timeout if timeout > 0 else None))
            while True:
                commands.append(self._queue.get_nowait())
        except queue.Empty:
            return commands

    def _listen(self) -> None:
        # os._exit: a device or a kernel that hangs must not keep an orphan alive.
        try:
            for line in self._commands:
                self._queue.put(json.loads(line))
        finally:
            os._exit(0)


def child_main(run: Callable[[ParentLink], int]) -> NoReturn:
    """The whole life of a child process: `run` with the link; its result is the exit code.

    An expected error is sent as the event "failed" and gives its class's exit code, a bug gives a
    traceback in the log and 1. The process ends without clean-up, which could hang on a dead device.
    """
    link = ParentLink.open()
    try:
        code = run(link)
    except AmbientdError as error:
        link.send({"event": "failed", "what": error.what, "remedy": error.remedy, "exit_code": error.exit_code})
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)


class _LineWriter:
    def __init__(self, fd: int) -> None:
        self.dropped = 0
        self._fd: int | None = fd
        self._pending = bytearray()
        os.set_blocking(fd, False)

    def send(self, message: Message) -> None:
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if len(self._pending) + len(line) > MAX_PENDING:
            self.dropped += 1
            return
        self._pending += line
        self.flush()

    def flush(self) -> None:
        try:
            while self._pending and self._fd is not None:
                del self._pending[: os.write(self._fd, self._pending)]
        except BlockingIOError:
            pass
        except OSError:  # the other side is gone
            self.close()

    def close(self) -> None:
        self._fd = None
        self._pending.clear()


class _LineReader:
    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._partial = b""
        os.set_blocking(fd, False)

    def read(self) -> list[Message]:
        while chunk := self._chunk():
            self._partial += chunk
        *lines, self._partial = self._partial.split(b"\n")
        return [message for line in lines if (message := _parse(line)) is not None]

    def _chunk(self) -> bytes:
        try:
            return os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return b""


def _parse(line: bytes) -> Message | None:
    """None for what is no message: something a library printed before the line was taken over."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
