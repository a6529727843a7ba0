"""Puts the unit file or plist in its place, and has systemd or launchd take it up. Command line.

Everything that is run is a fixed list of words; nothing passes a shell.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from ambientd.errors import DaemonError, UsageError
from ambientd.service.units import LABEL, NAME, launchd_plist, system_unit, user_unit

PATIENCE_SECONDS = 150
"""Starting waits for the first sound, and the unit allows two minutes for it."""
NO_BUS = ("connect to bus", "not been booted with systemd")
"""What systemctl says of a systemd that it cannot reach, in lines that are long and help nobody."""
FACTS = (
    "LoadState", "ActiveState", "SubState", "UnitFileState", "Result", "MainPID", "NRestarts",
    "ExecMainStartTimestamp", "StatusText", "FragmentPath",
)  # fmt: skip


class Service:
    """One of: the user's systemd unit, the system's, the user's launchd agent.

    name: as systemd or launchd knows it. path: of its file. system: for the machine, not the user.
    """

    def __init__(self, system: bool = False) -> None:
        """Raises UsageError where this machine cannot have such a service."""
        self.system, self.launchd = system, sys.platform == "darwin"
        if system and self.launchd:
            raise UsageError("--system is for systemd", "On macOS the service is the user's")
        self.name = LABEL if self.launchd else f"{NAME}.service"
        self.path = _folder(system, self.launchd) / (f"{LABEL}.plist" if self.launchd else self.name)

    @property
    def journal(self) -> str:
        """The command that shows what the service has said."""
        if self.launchd:
            return f"less {_launchd_log()}"
        return f"journalctl {'' if self.system else '--user '}-u {NAME} -e"

    def text(self, config: Path | None, user: str | None, plugins: str = "") -> str:
        """The file's. config: what `ambientd run` is given. user: whom the system's service runs as.

        plugins: which may be loaded beside the bundled ones, as `plugin_permits.permits` writes it.
        """
        # -P: what lies in the folder that it starts in is not to be imported.
        command = [sys.executable, "-P", "-m", NAME, "run", "--restore", *([str(config.resolve())] if config else [])]
        if self.launchd:
            return launchd_plist(command, plugins, _launchd_log())
        return system_unit(command, plugins, user) if self.system else user_unit(command, plugins)

    def install(self, text: str, start: bool) -> None:
        """Write the file and have it taken up. Raises DaemonError; then what was written stays, to be looked at."""
        from ambientd.samplernn.checkpoint import write_atomically

        try:
            write_atomically(self.path, text.encode())
        except OSError as error:
            remedy = "Use sudo" if self.system else "Mend its rights"
            raise DaemonError(f"{self.path} cannot be written ({error.strerror})", remedy) from None
        if self.launchd:
            if start:
                _run(["launchctl", "bootout", f"{_domain()}/{LABEL}"], may_fail=True)
                _run(["launchctl", "bootstrap", _domain(), str(self.path)])
            return
        self._systemctl("daemon-reload")
        self._systemctl("enable", self.name)
        if start:
            self._start()

    def _start(self) -> None:
        """Waits for the first sound."""
        try:
            self._systemctl("restart", self.name)
        except DaemonError as error:
            raise DaemonError(f"it is installed, and does not start: {error.what}", f"See {self.journal}") from None

    def uninstall(self) -> None:
        """Stop it, for good. Raises DaemonError where there is none."""
        if not self.path.exists():
            raise DaemonError(f"there is no {self.path}", "Nothing to do; --system is the machine's service")
        if self.launchd:
            _run(["launchctl", "bootout", f"{_domain()}/{LABEL}"], may_fail=True)
        else:
            self._systemctl("disable", "--now", self.name)
        try:
            self.path.unlink()
        except OSError as error:
            raise DaemonError(f"{self.path} cannot be removed ({error.strerror})", "Use sudo") from None
        if not self.launchd:
            self._systemctl("daemon-reload")

    def facts(self) -> dict[str, str]:
        """What systemd knows of it, by `FACTS`; of launchd whether it is loaded. Raises DaemonError."""
        if self.launchd:
            loaded = _run(["launchctl", "print", f"{_domain()}/{LABEL}"], may_fail=True).returncode == 0
            return {"ActiveState": "active" if loaded else "inactive", "FragmentPath": str(self.path)}
        shown = self._systemctl("show", self.name, f"--property={','.join(FACTS)}").stdout
        found: Mapping[str, str] = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
        return {fact: found.get(fact, "") for fact in FACTS}

    def _systemctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = _run(["systemctl", *([] if self.system else ["--user"]), *words], may_fail=True)
        if done.returncode and any(words in done.stderr for words in NO_BUS):
            if self.system:
                raise DaemonError("systemd does not run here", "Use `ambientd run --keep-alive` instead")
            remedy = "Log in as the user itself, rather than by su or sudo; the machine's service is --system"
            raise DaemonError("this user's systemd cannot be reached", remedy)
        return _checked(done)


def check_user(user: str) -> None:
    """That there is such a user, other than root. Raises UsageError."""
    import pwd

    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"there is no user {user!r}", "Make one: useradd --system --groups audio ambientd") from None
    if found.pw_uid == 0:
        raise UsageError("a soundtrack needs no root", "Name another user, or leave out --as")


def _folder(system: bool, launchd: bool) -> Path:
    if launchd:
        return Path.home() / "Library" / "LaunchAgents"
    if system:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _launchd_log() -> Path:
    return Path.home() / "Library" / "Logs" / f"{NAME}.log"


def _domain() -> str:
    return f"gui/{os.getuid()}"


def _run(words: list[str], may_fail: bool = False) -> subprocess.CompletedProcess[str]:
    """Raises DaemonError with the first line of what the program said."""
    if shutil.which(words[0]) is None:
        raise DaemonError(f"there is no {words[0]} here", "Start `ambientd run` by other means; --print shows the file")
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        raise DaemonError(f"`{' '.join(words)}` did not come back", "See docs/installation.md") from None
    return done if may_fail else _checked(done)


def _checked(done: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit {done.returncode}"]
        raise DaemonError(f"`{' '.join(done.args)}`: {said[0].rstrip('.')}", "See docs/installation.md")
    return done
