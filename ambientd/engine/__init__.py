"""From checkpoints to samples: the generator process and its kernels."""
