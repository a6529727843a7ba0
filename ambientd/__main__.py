"""`python -m ambientd` is `ambientd`."""

from ambientd.cli import main

main()
