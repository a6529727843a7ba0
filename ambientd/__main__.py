"""`python -m ambientd` is `ambientd`."""

from ambientd.cli import main

if __name__ == "__main__":  # and not where multiprocessing looks into it
    main()
