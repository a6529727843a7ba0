"""From the ring to the ears: the player process and what it uses."""
