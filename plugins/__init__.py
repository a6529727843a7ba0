"""The bundled plugins, loaded through the same entry points as anybody else's."""
