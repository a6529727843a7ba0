"""From an album to a checkpoint: `ambientd album` and `ambientd train`."""
