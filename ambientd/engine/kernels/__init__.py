"""One step of every voice: the readable reference and the fast kernels that must match it.

To read in this order:
    reference.py, reference_int8.py   what is computed, in plain NumPy: the truth for tests
    plan.py                           the rows of shapes and addresses that kernels see voices by
    matrices.py, packing.py           weights in the kernels' layouts, and what a precision is
    cpu.py                            `render`, the outline; what it is called with: operands.py, rows.py
    prediction.py                     one sample's logits; frames.py: a tier's frame; texture.py: what bends it;
                                      forecasting.py: what the sample tier hears besides
    conditioning.py                   whose frames a tier hears of the one above; groups.py: voices of one checkpoint
    drawing.py                        from logits to tokens; elementary.py: exp and the random numbers of streams.py
    gemv.py, activations.py           where the time goes: products, quantizing, the look-up table; emitted as LLVM IR
    sharing.py, mailbox.py            what the second core does, and how it is handed over

Beneath them: emit.py has pieces of LLVM IR and pointers, compiled.py says how every kernel is compiled, cache.py
where the results are kept. processor.py knows what the processor can do, and selftest.py tries it.

A change begins in reference.py: tests hold the kernels to it.
"""
