"""The texts that make ambientd a service: a systemd unit of the user or the system, a launchd plist. Command line."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from ambientd import plugin_permits

NAME = "ambientd"
LABEL = "org.ambientd"
"""launchd's name of it."""

WATCHDOG_SECONDS = 30
"""Longer than the supervisor needs to mend what it can mend: a player is replaced within 3 s."""

COMMON = f"""\
Type=notify
NotifyAccess=main
# Sound that stays away for so long, with the supervisor unable to mend it: begin again from nothing.
WatchdogSec={WATCHDOG_SECONDS}
WatchdogSignal=SIGKILL
Restart=always
RestartSec=2
TimeoutStartSec=120
TimeoutStopSec=10
# The supervisor fades out and ends its children itself; a signal to all of them would cut the sound off.
KillMode=mixed
# A generator that eats all memory is replaced under the bed; it does not end the service.
OOMPolicy=continue
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# Not MemoryDenyWriteExecute: the kernels are compiled for this very processor.
# As much as the player asks for, or it would be less on time than root's. A user's systemd gives what it has itself.
LimitRTPRIO=5
LimitNICE=-11
"""

USERS_TARGET = "default.target"

SYSTEM = """\
# Everything it keeps is in /var/lib/ambientd (models, presets, plugins, logs, the last state) and /var/cache/ambientd.
StateDirectory=ambientd
CacheDirectory=ambientd
RuntimeDirectory=ambientd
RuntimeDirectoryMode=0700
WorkingDirectory=%S/ambientd
Environment=HOME=%S/ambientd XDG_DATA_HOME=%S XDG_CONFIG_HOME=%S XDG_STATE_HOME=%S XDG_CACHE_HOME=%C XDG_RUNTIME_DIR=%t
SupplementaryGroups=audio
CapabilityBoundingSet=
AmbientCapabilities=
DevicePolicy=closed
DeviceAllow=char-alsa rw
PrivateTmp=yes
ProcSubset=all
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=read-only
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
"""


def user_unit(command: Sequence[str], plugins: str) -> str:
    """For the user's own systemd. command: the program and its words, absolute paths. plugins: see `plugin_permits`."""
    # Of the sound servers those that are not there are not waited for.
    after = "pipewire-pulse.service pipewire.service pulseaudio.service"
    return _unit(command, after, _allowing(plugins) + COMMON, USERS_TARGET)


def system_unit(command: Sequence[str], plugins: str, user: str | None = None) -> str:
    """For the machine's systemd. user: who it runs as; None: one that exists only while it runs, and owns nothing."""
    who = f"User={user}\n" if user else f"User={NAME}\nDynamicUser=yes\n"
    return _unit(
        command, "sound.target network.target", who + _allowing(plugins) + COMMON + SYSTEM, "multi-user.target"
    )


def launchd_plist(command: Sequence[str], plugins: str, log: Path) -> str:
    """For macOS, of the user. launchd starts it again whenever it ends; it has no watchdog. log: of its lines."""
    entries = {
        "Label": LABEL,
        "ProgramArguments": list(command),
        "EnvironmentVariables": {plugin_permits.VARIABLE: plugins},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ProcessType": "Interactive",  # else macOS slows it down, and lets its timers drift
        "ThrottleInterval": 5,
        "ExitTimeOut": 10,
        "StandardErrorPath": str(log),
    }
    return plistlib.dumps(entries, sort_keys=False).decode()


def _allowing(plugins: str) -> str:
    """Nobody watches: what is dropped into the plugin folder later is not loaded."""
    return f"Environment={_quoted(f'{plugin_permits.VARIABLE}={plugins}')}\n"


def _unit(command: Sequence[str], after: str, service: str, target: str) -> str:
    systemctl = "systemctl --user" if target == USERS_TARGET else "systemctl"
    return f"""\
# Written by `ambientd service install`, which writes it anew; changes of your own: {systemctl} edit ambientd
[Unit]
Description=ambientd: endless ambient music
After={after}
# An installation that nobody watches never gives up.
StartLimitIntervalSec=0

[Service]
ExecStart={" ".join(map(_quoted, command))}
ExecReload={" ".join(map(_quoted, [*takewhile(lambda word: word != "run", command), "reload"]))}
{service}
[Install]
WantedBy={target}
"""


def _quoted(word: str) -> str:
    """As systemd reads a word of a command line: specifiers and variables doubled, quotes escaped."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
