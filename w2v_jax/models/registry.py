"""The models that `TrainConfig.objective` names; a new model is one more line and its file."""

import importlib
from typing import TYPE_CHECKING

from ..config import TrainConfig
from ..errors import InputError

if TYPE_CHECKING:
    from ..text.vocabulary import Vocabulary
    from .model import Model

MODELS = {  # objective → module of this package, whose `from_config` makes the model
    "negative-sampling": "skipgram",
    "naive-softmax": "naive_softmax",
    "softmax": "blockwise_softmax",
}


def named_model(config: TrainConfig, vocabulary: "Vocabulary") -> "Model":
    """Return the model that the config's objective names.

    Raises:
      InputError: no model has this name.
    """
    if config.objective not in MODELS:
        raise InputError(f"objective is {config.objective}; it must be one of {', '.join(MODELS)}")
    module = importlib.import_module(f".{MODELS[config.objective]}", __package__)
    model: Model = module.from_config(config, vocabulary)
    return model
