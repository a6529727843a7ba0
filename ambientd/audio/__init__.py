"""From the ring to the loudspeaker: the player process and its parts."""
