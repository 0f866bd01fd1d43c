"""``python -m kgrecall`` is the command line."""

from kgrecall.cli import main

if __name__ == "__main__":
    main()
