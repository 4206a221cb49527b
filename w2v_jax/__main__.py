"""`python -m w2v_jax`."""

import os
import sys

if os.path.realpath(sys.path[0]) != os.path.dirname(os.path.dirname(os.path.realpath(__file__))):
    del sys.path[0]  # the user's folder, whose random.py or token.py would replace Python's

from .cli import main

if __name__ == "__main__":
    main()
