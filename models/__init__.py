"""The bundled checkpoints, and the bed that plays before there is anything better."""
