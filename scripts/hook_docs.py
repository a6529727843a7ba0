"""Writes docs/hooks.md from the docstrings of the hooks and of what a plugin implements: `make docs`.

Reads the sources rather than importing them, for what stands below a field is no docstring that Python keeps.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "hooks.md"
HOOKS = "hookspecs.py"
CLASSES = (
    ("plugin.py", ("Mashup", "Sink")),
    ("types.py", ("Mix", "BlockClock", "VoiceInfo")),
    ("parameters.py", ("Parameter",)),
)
"""What the hooks' plugins derive from, fill in or are told."""
SHARED = "ensemble.py"
HEAD = """# Hooks

Made by `make docs` from `ambientd/hookspecs.py` and the classes below: change it there. How to write a plugin:
[plugins.md](plugins.md).
"""


def page() -> str:
    """The whole of docs/hooks.md."""
    hooks = _tree(HOOKS)
    parts = [HEAD, _text(hooks)]
    parts += [_function(node, "##") for node in hooks.body if _is_hook(node)]
    for source, names in CLASSES:
        parts += [_class(node) for node in _tree(source).body if isinstance(node, ast.ClassDef) and node.name in names]
    parts += ["## What mashups have in common", _text(_tree(SHARED))]
    parts += [_function(node, "###") for node in _tree(SHARED).body if _is_public(node)]
    parts += [_class(node, "###") for node in _tree(SHARED).body if isinstance(node, ast.ClassDef)]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _tree(source: str) -> ast.Module:
    return ast.parse((ROOT / "ambientd" / source).read_text("utf-8"))


def _is_hook(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and "hookspec" in map(ast.unparse, node.decorator_list)


def _is_public(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and not node.name.startswith("_")


def _function(node: ast.stmt, level: str) -> str:
    """Its signature and docstring."""
    assert isinstance(node, ast.FunctionDef)
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return (
        f"{level} `{node.name}`\n\n```python\ndef {node.name}({ast.unparse(node.args)}){result}\n```\n\n{_text(node)}"
    )


def _class(node: ast.ClassDef, level: str = "##") -> str:
    """Its docstring, fields and public methods."""
    fields = [f"- `{field}`{': ' + text if text else ''}" for field, text in _fields(node)]
    methods = [
        _function(part, level + "#")
        for part in node.body
        if isinstance(part, ast.FunctionDef) and not part.name.startswith("_") and ast.get_docstring(part)
    ]
    return "\n\n".join([f"{level} `{node.name}`", _text(node), "\n".join(fields), *methods])


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """(definition, what is written below it) of each."""
    for part, below in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(part, ast.AnnAssign):
            said = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            yield ast.unparse(part), " ".join(str(below.value.value).split()) if said else ""


def _text(node: ast.Module | ast.FunctionDef | ast.ClassDef | ast.stmt) -> str:
    """A docstring as Markdown; RuntimeError where there is none."""
    text = ast.get_docstring(node)  # type: ignore[arg-type]
    if not text:
        raise RuntimeError(f"{getattr(node, 'name', HOOKS)} has no docstring")
    return textwrap.dedent(text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
