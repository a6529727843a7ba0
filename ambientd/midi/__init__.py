"""MIDI: ports in a process of their own; what a message means is decided by pure state machines in the supervisor."""
