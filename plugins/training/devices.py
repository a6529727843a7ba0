"""Where a training happens: the processor, or this process's own GPU."""

from __future__ import annotations

import os

import torch

from ambientd_plugins.training.errors import TrainingError


def device_named(name: str) -> torch.device:
    """name: "auto" (a GPU where there is one), "cpu" or "cuda". Raises TrainingError where there is no such thing."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise TrainingError("--device cuda: PyTorch finds no GPU here", "Use --device cpu")
    if name == "cpu" or not found:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
