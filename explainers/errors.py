"""What can go wrong, said in one sentence to the person who can mend it."""

from __future__ import annotations

from collections.abc import Sequence


class ExplainError(ValueError):
    """Base of every error meant for a caller or visitor.

    Its message is one sentence that says what is wrong and what to do; it never holds a path.
    """


class PhotoError(ExplainError):
    """The upload is not a photo that can be read within the limits."""


class ModelError(ExplainError):
    """A network or its weights can't be had, or are not what they should be."""


class TargetError(ExplainError):
    """A class was named that the network does not know."""


class OptionError(ExplainError):
    """A method, layer or setting is not possible, here or at all."""


def reason(error: Exception, most: int = 140) -> str:
    """What somebody else's error says, to be quoted within a sentence: on one line, `most`
    characters of it."""
    return " ".join(str(error).split())[:most].rstrip(" .")


def sized(shape: Sequence[int]) -> str:
    """A shape in words: 3 × 224 × 224."""
    return " × ".join(map(str, shape)) or "a single number"
