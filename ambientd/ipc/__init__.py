"""What the processes share: memory, rings and pipes."""
