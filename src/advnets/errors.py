"""The error types that a user is meant to read, and text that is fit to be shown."""

_LONGEST = 1500  # characters of a message


def plain(text: str) -> str:
    """Return text as one line of what prints: a line break, or what a terminal would obey, is spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


class InputError(ValueError):
    """Wrong usage or input: one line that says what was wrong, what is allowed and how to fix it.

    The command line prints it as ``advnets: error: …`` and ends with exit status 2. What it quotes of a file or of the
    command line may be anything: it is spelled out, and the middle of a long message left out.
    """

    def __init__(self, message: str = "") -> None:
        line = plain(message if len(message) <= _LONGEST else f"{message[:1000]} … {message[-400:]}")
        super().__init__(line if len(line) <= _LONGEST else f"{line[:1000]} … {line[-400:]}")


class NotMeasurable(InputError):  # noqa: N818  # an answer that evaluate prints, no error
    """A measure has no value for these samples: one plain sentence that says why, and what would give one.

    `advnets evaluate` puts the sentence in the place of the number and goes on with the other measures.
    """
