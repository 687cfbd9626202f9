"""`python -m advnets` is the command line."""

import sys

from advnets.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
