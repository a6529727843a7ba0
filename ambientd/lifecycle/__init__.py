"""How the daemon begins, goes on, is told a new configuration, and ends. Supervisor; `keep_alive` is its parent."""
