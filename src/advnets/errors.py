"""The error types that a user is meant to read."""


class InputError(ValueError):
    """Wrong usage or input: one line that says what was wrong, what is allowed and how to fix it.

    The command line prints it as ``advnets: error: …`` and ends with exit status 2.
    """


class NotMeasurable(InputError):  # noqa: N818  # an answer that evaluate prints, no error
    """A measure has no value for these samples: one plain sentence that says why, and what would give one.

    `advnets evaluate` puts the sentence in the place of the number and goes on with the other measures.
    """
