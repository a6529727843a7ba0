"""Writes docs/configuration.md, every key with its default and meaning, from `ambientd/config.py`: `make docs`.

Reads the source for what stands below a field, which is no docstring that Python keeps, and the classes for the rest.
"""

from __future__ import annotations

import ast
import inspect
import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ambientd import config

PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"
HEAD = """# Every key of a configuration

Made by `make docs` from `ambientd/config.py`: change it there. A configuration is a TOML file, `ambientd run
room.toml`; each key can be set on the command line as well, `ambientd run room.toml --set audio.sample_rate=44100
volume=0.8`. A key that there is not, or a value that cannot be, is one line that says what was expected. `ambientd
check room.toml` tries everything before opening night, and `ambientd reload` takes in a changed file while it plays
([which keys how](installation.md)).
"""
ROW = "| {} | {} | {} | {} |"
BOUNDS = {"ge": "from", "gt": "above", "le": "to", "lt": "below"}
LARGE = 2.0**62
PLAIN = {str: "text", bool: "true or false", int: "whole number", float: "number", Path: "path"}


def page() -> str:
    """The whole of docs/configuration.md."""
    sections = {name: field for name, field in config.Config.model_fields.items() if section_in(field)}
    plain = [name for name in config.Config.model_fields if name not in sections]
    parts = [HEAD, "## At the top of the file", table(config.Config, plain)]
    for name, field in sections.items():
        kind = section_in(field)
        assert kind is not None
        several = "[[" in (head := f"[[{name}]]" if isinstance(field.default, list) else f"[{name}]")
        about = [docs(kind)[""], docs(config.Config).get(name, "")]
        parts += [f"## `{head}`", *filter(None, about), table(kind, list(kind.model_fields), several)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def table(kind: type[BaseModel], names: list[str], several: bool = False) -> str:
    """Of the keys of a section."""
    about = docs(kind)
    rows = [ROW.format("key", "default", "takes", "meaning"), ROW.format(*["---"] * 4)]
    for name in names:
        field = kind.model_fields[name]
        if name == "options":  # they stand beside the name
            rows.append(ROW.format("*its own*", "", "", "what the plugin of that name takes, see its page"))
        else:
            rows.append(ROW.format(f"`{name}`", default(field), takes(field), about.get(name, "")))
    return "\n".join(rows)


def docs(kind: type[BaseModel]) -> dict[str, str]:
    """What stands below each field, and below the class's name as its own ("")."""
    base = kind.__bases__[0]
    found = docs(base) if issubclass(base, BaseModel) and base.__module__ == kind.__module__ else {}
    (tree,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(tree, ast.ClassDef)
    found[""] = ast.get_docstring(tree) or found.get("", "")
    for field, below in pairwise(tree.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(below.value.value).split()).replace("|", "\\|")
    return found


def default(field: FieldInfo) -> str:
    """As TOML has it."""
    value = field.default
    if value is PydanticUndefined:
        return "needed"
    return "" if value is None else f"`{json.dumps(value)}`"


def takes(field: FieldInfo) -> str:
    """Its type and bounds, for people."""
    bounds = [
        f"{word} {value:g}"
        for item in field.metadata
        for name, word in BOUNDS.items()
        if abs(value := getattr(item, name, LARGE)) < LARGE
    ]
    return " ".join([words(field.annotation), *bounds])


def words(kind: Any) -> str:
    """A type, for people."""
    parts = get_args(kind)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{json.dumps(part)}`" for part in parts)
    if get_origin(kind) is list:
        return f"list of {words(parts[0])}s"
    if get_origin(kind) is Annotated:
        return words(parts[0])
    if parts:
        return " or ".join(words(part) for part in parts if part is not type(None))
    return PLAIN[kind]


def section_in(field: FieldInfo) -> type[BaseModel] | None:
    """The section that a key holds, alone or in a list."""
    kinds = (field.annotation, *getattr(field.annotation, "__args__", ()))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
