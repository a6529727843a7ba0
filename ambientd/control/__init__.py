"""What moves parameters from outside. Supervisor."""
