"""Where plugins come from: installed packages, and files in the user's plugin folder. Any process; light.

A file is read once and loaded from what was read: whoever starts later plays the very text that was checked,
whatever the folder holds by then.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import FrameType, ModuleType

from ambientd.plugin import PROJECT

GROUP = "ambientd.plugins"
BUNDLED, FOLDER, ENTRY_POINT = "bundled", "folder", "entry point"
LONGEST_FILE = 1 << 18
"""Characters."""
IMPORT_SECONDS = 30
"""What a plugin's import may take. Generous: a cold disk and a heavy library are no fault."""


@dataclass(frozen=True)
class Source:
    """A plugin that can be loaded. origin: one of the three above. place: its distribution, or the file.

    text: the file's; an installed plugin has none.
    """

    name: str
    origin: str
    place: str
    load: Callable[[], object]
    text: str = ""


def user_folder() -> Path:
    """Where a file becomes a plugin by being there."""
    from platformdirs import user_config_path

    return user_config_path(PROJECT) / "plugins"


def installed() -> list[Source]:
    """What installed packages declare, the bundled plugins among them, by name."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return [_of_entry(entry) for entry in entries]


def plugin_files(folder: Path) -> dict[str, str]:
    """The texts of the plugin files in `folder`, by path. Not plugins: `_*.py`, and `test_*.py`, their tests."""
    found = {}
    for path in sorted(folder.glob("*.py")) if folder.is_dir() else []:
        if not path.stem.startswith(("_", "test_")):
            with contextlib.suppress(FileNotFoundError):
                found[str(path)] = read(path)
    return found


def read(path: Path) -> str:
    """A plugin's text. What cannot be read becomes a text that says so when it is loaded."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(LONGEST_FILE + 1)
    except FileNotFoundError:
        raise
    except (OSError, UnicodeDecodeError) as error:
        return f"raise ImportError({f'it cannot be read ({error})'!r})"
    return text if len(text) <= LONGEST_FILE else f"raise ImportError('it is longer than {LONGEST_FILE} characters')"


def from_texts(texts: Mapping[str, str]) -> list[Source]:
    """What `plugin_files` found, as sources."""
    return [from_text(path, text) for path, text in texts.items()]


def from_text(path: str, text: str) -> Source:
    """One file's."""
    name = Path(path).stem
    return Source(name, FOLDER, path, lambda: _module(name, path, text), text)


def _of_entry(entry: EntryPoint) -> Source:
    name = entry.dist.name if entry.dist else ""
    place = f"{name} {entry.dist.version}" if entry.dist else entry.value
    return Source(entry.name, BUNDLED if name == PROJECT else ENTRY_POINT, place, lambda: _limited(entry.load))


def _module(stem: str, path: str, text: str) -> ModuleType:
    module = ModuleType(f"ambientd_user_plugins.{stem}")
    module.__file__ = path
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module  # dataclasses and pydantic look their own module up
    try:
        _limited(lambda: exec(compile(text, path, "exec"), module.__dict__))
    except BaseException:
        sys.modules.pop(module.__name__)
        if before:
            sys.modules[module.__name__] = before
        raise
    return module


def _limited(load: Callable[[], object]) -> object:
    """`load`, for IMPORT_SECONDS at most. Elsewhere than on a main thread somebody else has to watch the time."""
    if threading.current_thread() is not threading.main_thread():
        return load()
    with _alarm():
        return load()


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"it was not imported within {IMPORT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(IMPORT_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
