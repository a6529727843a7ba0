"""What the daemon's processes share: memory, rings, cells and the pipe between supervisor and child."""
