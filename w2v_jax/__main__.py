"""`python -m w2v_jax`."""

from .cli import main

if __name__ == "__main__":
    main()
