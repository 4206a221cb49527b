"""word2vec skip-gram as a JAX functional research codebase; the public names are listed in __init__.pyi."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
