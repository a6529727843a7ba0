"""The same engine on a GPU: `DeviceBank` in place of `Bank`. The render thread of a generator that has a GPU.

Only the tokens are made there. Sound is made of them on the host, as for the CPU kernel: a filter has no two samples
that could be computed side by side, and costs the host a hundredth of a core for ten voices.

To read in this order:
    networks.py     a checkpoint's tensors on the device, and those of interpolated voices
    memory.py       what voices remember, by slots; to and from the voices' own buffers, so a voice may change
                    from one engine to the other between two blocks
    inputs.py       what is sent for each block: the mix's ramp, forecasts, places in the random streams
    bank.py         `DeviceBank`, which asks a maker for each block's tokens
    step.py         the first maker, in torch: every device; captured as a graph by `graph.py`
    fused.py        the second: the same, with `fusions.py`'s Triton kernels between the products; for many voices too
    persistent.py   the third: `persistent.cu`, one launch a block, few voices and these fast
    build.py        CUDA C++ -> machine code, kept in the user's cache
    choose.py       whether there is a GPU, and whether what it computes is right

torch is imported in this folder alone, and this folder by nobody at the top: a generator without a GPU never does.
Tests run `step.py` on the CPU, `fusions.py` in NumPy, and `persistent.cu` as host C++ with a thread for each warp.
"""
