"""`ambientd check`: proves before opening night that the daemon will start, and play in time."""
