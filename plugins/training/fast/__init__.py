"""The same model as `ambientd.samplernn.model`, trained faster on a CPU. Tested to be the same.

PyTorch's own operations spend more time on memory than on products: a GRU's step is a dozen of small ones, and each
of the sample tier's writes sixteen megabytes for the next to read. Here a GRU's step is one product and one pass
(`recurrence`); in the sample tier the tables are looked up and summed by columns (`lookup`), and layers, loss and their
gradients are made of a thousand samples at a time (`sample_tier`), on each core by itself, in its cache.
"""
