"""The one exception that a person's input can raise."""


class InputError(Exception):  # no ValueError: tyro would catch that, and dress it up in a box
    """What was given cannot be used; the message is one line: what is wrong, and how to mend it."""
