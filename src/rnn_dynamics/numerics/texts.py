"""Text that somebody else wrote, fit for a terminal."""


def printable(text: object, longest: int = 2000) -> str:
    """The text with an escape in place of each character that a terminal would obey, or that is no character.

    Those are control characters and those that turn the direction of writing; spaces and letters stay.

    Args:
        text: anything; what is no string is written as one.
        longest: characters that are kept; "…" stands for the others.
    """
    said = text if isinstance(text, str) else repr(text)
    cut = said if len(said) <= longest else f"{said[: longest - 1]}…"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)


def counted(number: object, noun: str, plural: str | None = None) -> str:
    """The number with its noun: "1 lag", "2 lags", "3 to 5 lags"; "2 entries" where the plural is given."""
    return f"{number} {noun}" if str(number) == "1" else f"{number} {plural or noun + 's'}"
