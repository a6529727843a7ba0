"""`ambientd plugins new`: a working mashup and its test, for an author to begin with. Command line; light."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from pathlib import Path
from string import Template

from ambientd.errors import PluginError, UsageError
from ambientd.plugin_manager import Plugins

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def write_plugin(name: str, folder: Path, plugins: Plugins) -> tuple[Path, Path]:
    """Write NAME.py and test_NAME.py into `folder`, made where it is missing; returns both.

    Raises UsageError for a name that cannot be one or is taken, and where a file is there already.
    """
    _check(name, plugins)
    kind = "".join(word.capitalize() for word in name.split("_"))
    written = []
    for template, target in (("mashup.py.txt", f"{name}.py"), ("test_mashup.py.txt", f"test_{name}.py")):
        if (folder / target).exists():
            raise UsageError(f"{folder / target} is there already", "Choose another name, or move it away")
        text = files("ambientd").joinpath("templates", template).read_text("utf-8")
        written.append((folder / target, Template(text).substitute({"name": name, "Class": kind})))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in written:
            with path.open("x", encoding="utf-8") as file:  # never over what somebody else wrote meanwhile
                file.write(text)
    except OSError as error:
        raise PluginError(f"{folder} cannot be written to ({error.strerror})", "Name another folder: --out") from None
    return written[0][0], written[1][0]


def _check(name: str, plugins: Plugins) -> None:
    if not _NAME.fullmatch(name) or name.startswith("test_"):
        raise UsageError(
            f"{name!r} cannot be a plugin's name", "Use a-z, 0-9 and _, begin with a letter, and not with test_"
        )
    if keyword.iskeyword(name):
        raise UsageError(f"{name!r} is a word of Python's own", "Choose another name")
    if name in plugins.mashups or any(plugin.name == name for plugin in plugins.found):
        raise UsageError(f"there already is a plugin called {name!r}", "See `ambientd plugins list`")
