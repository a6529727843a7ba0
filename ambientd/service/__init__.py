"""ambientd as a service of the machine: unit files, the installer, and the words to systemd while it runs."""
