"""The same model as `ambientd.samplernn.model`, trained faster on a CPU. Tested to be the same.

PyTorch's own operations spend more time on memory than on products: a GRU's step is a dozen of small ones, and each
of the sample tier's writes sixteen megabytes for the next to read. Here a GRU's step is one product and one pass
(`recurrence`), and the sample tier goes from its look-up to all its gradients with a thousand samples at a time, on
each core by itself, in memory that stays in the core's cache (`sample_tier`).
"""
