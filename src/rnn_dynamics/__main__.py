"""``python -m rnn_dynamics`` is the command ``rnn-dynamics``."""

import sys

from rnn_dynamics.cli import main

if __name__ == "__main__":
    sys.exit(main())
