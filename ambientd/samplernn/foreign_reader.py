"""Reads a PyTorch file that somebody else wrote, in a process of its own. `read` is the parent's end of the pipe.

`python -m ambientd.samplernn.foreign_reader` is the reader: the file is its standard input, safetensors
bytes (or two lines that say what is wrong) its standard output. What this guarantees:

- The file's pickle is interpreted only by PyTorch's restricted unpickler (`weights_only`), which calls
  nothing but the makers of tensors and plain containers. The parent never unpickles.
- Bounds: the file's size, the number of tensors and of their elements, seconds of wall clock, the bytes
  taken back; where the system knows resource limits also memory (Linux), processor time and files written (none).
- No network. On Linux the reader moves to an empty network namespace before it opens anything, which holds for
  native code as well; it needs a kernel that lets users do so, as most do.
- No network, no other program, no writing, by an audit hook, everywhere. A hook stops Python code, so it is the
  second lock behind `weights_only` and no sandbox: native code that a fault in PyTorch let in could pass it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from ambientd.errors import CheckpointError

if TYPE_CHECKING:
    # NumPy starts threads, and a process of several cannot leave the network.
    from ambientd.arrays import Floats

MAX_FILE_BYTES = 2 << 30
"""A trainer's whole state is three times its model."""
MAX_TENSORS = 512
MAX_ELEMENTS = 1 << 28
MEMORY_BYTES = MAX_FILE_BYTES + 2 * 4 * MAX_ELEMENTS
"""Beyond what PyTorch itself takes: everything in the file, and what is handed back, twice."""
CPU_SECONDS = 60
WALL_SECONDS = 300
MAX_DEPTH = 4
"""Of dictionaries within dictionaries."""
REFUSED = 3
"""The reader's exit status when it says why; 1 and 2 are Python's own."""

MARKER = "sample_level_mlp.embedding.weight"
"""The tensor by which the model is found, whatever it is wrapped in."""
PARTS = ("frame_level_rnns.", "sample_level_mlp.")

CLONE_NEWUSER, CLONE_NEWNET = 0x1000_0000, 0x4000_0000
READING = ("os.listdir", "os.scandir")
FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "urllib.", "pty.")

SAVE_AGAIN = "Get the state dict alone, as torch.save(model.state_dict(), FILE) writes it, and import that"


def read(path: Path) -> dict[str, Floats]:
    """The model's tensors in `path`, float32, under their names without wrapping ("sample_level_mlp.hidden.bias").

    Raises CheckpointError.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise CheckpointError(f"{path} is not a file", "Give a file written by torch.save")
    try:
        with path.open("rb") as file:
            code, answer = _ask_reader(path, file)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from None
    if code == REFUSED:
        what, _, remedy = answer.decode("utf-8", "replace").partition("\n")
        raise CheckpointError(f"{path} {what}", remedy)
    try:
        if code == 0:
            tensors: dict[str, Floats] = load(answer)
            return tensors
    except SafetensorError:
        pass
    what = f"{path} was not read to its end, within the bounds on memory and time (exit status {code})"
    raise CheckpointError(what, SAVE_AGAIN)


def _ask_reader(path: Path, file: IO[bytes]) -> tuple[int, bytes]:
    """(exit status, what the reader wrote); the reader has ended when this returns."""
    if (size := os.fstat(file.fileno()).st_size) > MAX_FILE_BYTES:
        raise CheckpointError(f"{path} has {size >> 20} MiB, more than {MAX_FILE_BYTES >> 20}", SAVE_AGAIN)
    process = subprocess.Popen(
        # -P: a torch.py in the folder of downloads must not be imported.
        [sys.executable, "-P", "-m", __name__],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )
    assert process.stdout is not None
    limit = threading.Timer(WALL_SECONDS, process.kill)
    limit.start()
    try:
        with process.stdout as pipe:
            answer = pipe.read(4 * MAX_ELEMENTS + (1 << 20))
        # A reader that wrote more than that finds the pipe closed, and ends.
        return process.wait(), answer
    finally:
        limit.cancel()
        process.kill()
        process.wait()


class Refused(Exception):
    """The file is not what can be imported. args: what is wrong, the remedy."""


def main() -> NoReturn:
    """The reader's whole life."""
    leave_network()
    import torch  # noqa: F401 (before the bounds, which count from here)
    from safetensors.numpy import save

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no part of the answer
    limit_resources()
    sys.addaudithook(forbid_effects)
    try:
        tensors = model_tensors(_load(sys.stdin.buffer))
        answer, code = save({name: t.detach().float().contiguous().numpy() for name, t in tensors.items()}), 0
    except Refused as error:
        answer, code = "\n".join(error.args).encode(), REFUSED
    except Exception as error:
        answer, code = f"holds tensors that cannot be used ({type(error).__name__})\n{SAVE_AGAIN}".encode(), REFUSED
    with out:
        out.write(answer)
    sys.exit(code)


def leave_network() -> bool:
    """Move to a network namespace of its own, without interfaces. Only while there is one thread. False: not here."""
    if sys.platform != "linux":
        return False
    import ctypes

    unshare = ctypes.CDLL(None).unshare
    # Users may make a network namespace only inside a user namespace of their own.
    return any(unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET))


def limit_resources() -> None:
    """Bound what may still be used, from here on; PyTorch is imported already."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        bytes = pages * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (bytes, bytes))


def forbid_effects(event: str, args: tuple[Any, ...]) -> None:
    """Audit hook: reading goes on, all else that reaches out of the process is PermissionError."""
    writing = event == "open" and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writing or (event.startswith(FORBIDDEN) and event not in READING):
        raise PermissionError(f"{event} is not for a reader of foreign files")


def _load(file: IO[bytes]) -> Any:
    import torch

    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # The library's own message quotes the file and recommends to switch the protection off.
        if found := re.search(r"GLOBAL ([\w.]{1,80})", str(error)):
            raise Refused(f"holds {found[1]} beside tensors; nothing of it was run", SAVE_AGAIN) from None
        what = "is truncated, was not written by torch.save, or needs more memory than a model may"
        raise Refused(what, "Fetch it again; a .safetensors checkpoint needs no import") from None


def model_tensors(content: Any) -> dict[str, Any]:
    """The model's tensors in what a file held, named as the model itself names them. Raises Refused."""
    import torch

    for mapping in _mappings(content, MAX_DEPTH):
        for key in mapping:
            if not (isinstance(key, str) and key.endswith(MARKER)):
                continue
            prefix = key.removesuffix(MARKER)
            places = tuple(prefix + part for part in PARTS)
            own = {k: v for k, v in mapping.items() if isinstance(k, str) and k.startswith(places)}
            found = {k.removeprefix(prefix): v for k, v in own.items()}
            if not all(isinstance(v, torch.Tensor) and v.is_floating_point() for v in found.values()):
                raise Refused("has something other than numbers among its weights", SAVE_AGAIN)
            _check_size(found)
            return found
    raise Refused(
        f"holds no SampleRNN as samplernn-pytorch and its forks name it (no {MARKER})",
        "Give the state dict that its train.py saved in results/*/checkpoints",
    )


def _check_size(tensors: dict[str, Any]) -> None:
    """Before any is copied: a tensor may claim more elements than are stored."""
    elements = sum(tensor.numel() for tensor in tensors.values())
    if len(tensors) > MAX_TENSORS or elements > MAX_ELEMENTS:
        bounds = f"more than {MAX_TENSORS} or {MAX_ELEMENTS}"
        raise Refused(f"has {len(tensors)} tensors of {elements} numbers in all, {bounds}", "It is not to be trusted")


def _mappings(content: Any, depth: int) -> Iterator[Mapping[Any, Any]]:
    """The dictionaries in `content`, outer ones first; a trainer's file wraps the model's."""
    if depth and isinstance(content, Mapping):
        yield content
        for value in content.values():
            yield from _mappings(value, depth - 1)


if __name__ == "__main__":
    main()
