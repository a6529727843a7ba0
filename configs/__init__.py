"""Configurations to start from."""
