"""From the words of the command line to a request that can be kept. The training process."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from itertools import accumulate, permutations
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ambientd.samplernn.checkpoint import Forecast
from ambientd_plugins.training import families
from ambientd_plugins.training.errors import TrainingError
from ambientd_plugins.training.request import Request, completed, multiples

if TYPE_CHECKING:
    from ambientd.samplernn.checkpoint import Checkpoint

MINUTES = 30.0
LEARNING_RATE = 0.006
DROPOUT = 0.25
"""Ten minutes of music are learnt by heart without (benchmarks/training.md)."""
BATCH = {"cpu": 16, "cuda": 128}
BUDGETS, MUSIC = ("minutes", "cpu_minutes", "steps"), ("dataset", "albums")


def ask(
    settings: Mapping[str, Any],
    given: Collection[str],
    processes: int = 1,
    before: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> tuple[Request, Checkpoint | None]:
    """(the request, the base's checkpoint where its weights are needed).

    settings: every option; given: those that were not left out. before: the request of the run to go on with, which
    counts for what was left out. device: a key of BATCH.
    Raises TrainingError for what cannot be trained, before anything is read or written.
    """
    kept_batch = before["batch"] if before is not None and "batch" not in given else None
    if before is not None:
        theirs = {n: v for n, v in _as_typed(completed(before), given).items() if n in settings}
        settings, given = {**settings, **theirs}, {*given, *theirs}
    _check(settings)
    asked: dict[str, Any] = {**settings, "frame_sizes": tuple(accumulate(settings["frame_sizes"], mul))}
    # Words of the command line on the one side, the architecture's on the other.
    asked["forecast"] = None if asked.pop("plain") else Forecast().model_dump()
    given = {"forecast" if name == "plain" else name for name in given}
    origin = families.remembered(asked["base"], before) if asked["base"] and before else None
    base = families.find_base(asked["base"]) if asked["base"] and not origin else None
    origin = families.origin_of(base) if base else origin
    if origin:
        asked = families.inherit(asked, given, origin)
        asked |= {"family": origin.family, "base_hours": origin.hours_heard, "base_album": origin.album}
    asked["batch"] = kept_batch or (asked["batch"] or BATCH[device]) * processes
    # Absolute, so that it goes on from any other place.
    asked["dataset"] = str(Path(asked["dataset"]).resolve()) if asked["dataset"] else ""
    asked["albums"] = tuple(str(Path(album).resolve()) for album in asked["albums"])
    if not any(asked[name] for name in BUDGETS):
        asked["minutes"] = families.MINUTES if origin else MINUTES
    lr = asked.pop("lr")
    default = LEARNING_RATE * min(1.0, 192 / asked["dim"]) * (families.RATE if origin else 1.0)
    if asked["dropout"] is None:
        asked["dropout"] = DROPOUT
    request = Request(**asked, learning_rate=default if lr is None else lr)
    _check_shape(request)
    return request, base


def _as_typed(before: Mapping[str, Any], given: Collection[str]) -> dict[str, Any]:
    """The options of a run, but those that are given now; of several that exclude each other all or none."""
    options = {
        **before,
        "frame_sizes": multiples(before["frame_sizes"]),
        "plain": before["forecast"] is None,
        "lr": before["learning_rate"],
    }
    anew = {name for group in (BUDGETS, MUSIC) if not {*group}.isdisjoint(given) for name in group}
    return {name: value for name, value in options.items() if name not in anew.union(given)}


def _check(settings: Mapping[str, Any]) -> None:
    budgets = [f"--{name}" for name in BUDGETS if settings[name] is not None]
    if len(budgets) > 1:
        raise TrainingError(f"{' and '.join(budgets)} exclude each other", "Give one of them")
    if bool(settings["dataset"]) == bool(settings["albums"]):
        said = "--dataset and --albums exclude each other" if settings["dataset"] else "no album to learn from"
        raise TrainingError(said, "Give --dataset FOLDER, or --albums A B C for a common base of several")
    for name in ("lr", "minutes", "cpu_minutes", "pre_emphasis", "dropout", "listen"):
        if settings[name] is not None and not math.isfinite(settings[name]):
            raise TrainingError(f"--{name} is {settings[name]}, which is no number to train with")
    folders = [settings["dataset"]] if settings["dataset"] else settings["albums"]
    places = [Path(folder).resolve() for folder in folders]
    if len(set(places)) < len(places):
        raise TrainingError("--albums names a folder twice", "Name each once")
    for inner, outer in permutations(places, 2):
        if inner.is_relative_to(outer):
            raise TrainingError(f"--albums: {inner} lies in {outer}", "Name folders that share no track")


def _check_shape(request: Request) -> None:
    try:
        longest = request.architecture().frame_sizes[-1]
    except ValidationError as error:
        first = error.errors()[0]
        raise TrainingError(f"--{first['loc'][0]}: {first['msg']}") from None
    if request.sequence % longest:
        raise TrainingError(
            f"--sequence {request.sequence} is not a multiple of the longest frame, {longest} samples",
            f"Use {max(1, round(request.sequence / longest)) * longest}",
        )
