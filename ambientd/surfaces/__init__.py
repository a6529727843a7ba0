"""Control surfaces made from the parameter tree: TouchOSC, Open Stage Control, a table. The command line only."""
