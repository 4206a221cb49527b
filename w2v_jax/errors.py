"""The one exception that a person's input can raise."""


class InputError(ValueError):
    """What was given cannot be used; the message is one line: what is wrong, and how to mend it."""
