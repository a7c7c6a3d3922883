"""``python -m bench`` is ``bench``."""

from bench.cli.process import script

if __name__ == "__main__":
    script()
