"""From the web, a folder or a file to chunks that a training reads."""
