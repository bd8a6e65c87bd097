"""`python -m dtcbench`."""

from dtcbench.cli import main

if __name__ == "__main__":
    main()
