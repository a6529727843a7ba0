"""Presets, and the score that recalls them by the time of day. Supervisor and command line; light."""
