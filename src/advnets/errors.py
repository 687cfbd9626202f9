"""The one error type that a user is meant to read."""


class InputError(ValueError):
    """Wrong usage or input: one line that says what was wrong, what is allowed and how to fix it.

    The command line prints it as ``advnets: error: …`` and ends with exit status 2.
    """
