"""Measures the GPU engine in one call, in under 8 minutes: `python benchmarks/gpu.py [--out FOLDER]`. Needs a GPU.

Prints what is checked and measured as it goes, a table at the end, and with --out writes gpu.json there. Each case is a
process of its own, because a kernel that fails poisons the process that it fails in. Method: benchmarks/gpu.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

CASES = (
    ("graph", 1, 1, False),
    ("fused", 1, 1, False),
    ("persistent", 1, 1, False),
    ("persistent", 2, 2, True),
    ("fused", 2, 2, True),
    ("batched", 64, 1, False),
    ("batched", 256, 1, False),
    ("batched", 512, 1, False),
)
"""Maker, voices, checkpoints, whether they are blended."""
BITS = ((16, 8), (16, 16), (32, 32))
"""Of the sample tier's and the frame tiers' weights, for the divergence from the reference."""
PATIENCE = 55.0


def check() -> None:
    """Every maker against the reference, and what fewer bits cost; sets of blocks in a cluster."""
    import torch

    from ambientd.engine.kernels.cuda import choose
    from ambientd.engine.kernels.cuda.launch import GpuLauncher
    from ambientd.engine.kernels.cuda.persistent import PersistentMaker

    device = torch.device("cuda", 0)
    print(torch.cuda.get_device_name(device), "torch", torch.__version__)
    for make in (choose.graph, choose.fused, choose.batched):
        print(f"{make.__name__}: {choose.divergence(make(device), device):.2e} nats", flush=True)
    for cluster in (16, 8, 0):
        for sample_bits, frame_bits in BITS:
            case = f"persistent, cluster {cluster}, {sample_bits}/{frame_bits} bits"
            try:
                maker = PersistentMaker(GpuLauncher(device, cluster, sample_bits, frame_bits))
                print(f"{case}: {choose.divergence(maker, device):.2e} nats", flush=True)
            except Exception as error:
                print(f"{case}: {type(error).__name__}: {str(error)[:200]}", flush=True)


def one(number: int, dim: int, seconds: float) -> None:
    """A case, as a line of JSON."""
    from ambientd.engine.bench_gpu import GpuCase, measure_gpu

    maker, voices, checkpoints, blended = CASES[number]
    (row,) = measure_gpu([GpuCase(maker, dim, voices, checkpoints, blended)], seconds)
    print(json.dumps(asdict(row)))


def every(dim: int, seconds: float, out: Path | None) -> int:
    rows: list[dict[str, object]] = []
    began = time.monotonic()
    run(["--check"])
    for number, case in enumerate(CASES):
        line = run(["--case", str(number), "--dim", str(dim), "--seconds", str(seconds)])
        if line.startswith("{"):
            rows.append(json.loads(line))
        else:
            print(f"{case}: failed", flush=True)
    print(f"\n{'maker':10s}  voices (checkpoints)  x real time  streams  us/sample  noise  host")
    for row in rows:
        print(
            f"{row['maker']:10s}  {row['voices']:6d} ({row['checkpoints']})            {row['xrt']:11.2f}  "
            f"{row['streams']:7.1f}  {row['sample_us']:9.2f}  {row['noise']:5.0%}  {row['host']:5.1%}"
        )
    print(f"{time.monotonic() - began:.0f} s in all")
    if out:
        (out / "gpu.json").write_text(json.dumps(rows, indent=1))
    return 0 if len(rows) == len(CASES) else 1


def run(words: list[str]) -> str:
    """The last line that came, what was printed being passed on; empty where it failed."""
    patience = PATIENCE * (3 if words == ["--check"] else 1)
    try:
        done = subprocess.run(
            [sys.executable, __file__, *words], capture_output=True, text=True, timeout=patience, check=False
        )
    except subprocess.TimeoutExpired:
        print(f"{words}: not within {patience:g} s", flush=True)
        return ""
    print(done.stdout, done.stderr[-2000:] if done.returncode else "", flush=True)
    return done.stdout.splitlines()[-1] if done.returncode == 0 and done.stdout else ""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--case", type=int)
    parser.add_argument("--dim", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.check:
        check()
    elif asked.case is not None:
        one(asked.case, asked.dim, asked.seconds)
    else:
        sys.exit(every(asked.dim, asked.seconds, asked.out))
