"""The sentences of a trace, in the languages of the page."""

from engagement_platform.console.serve.texts import Texts
from engagement_platform.domain.delivery.record import Became
from engagement_platform.domain.trace.trace import Said

_ENGLISH = Texts("en")


def sentence(texts: Texts, said: Said) -> str:
    """Return a sentence in the language of some texts."""
    values = said.values if texts == _ENGLISH else {name: _value(texts, name, v) for name, v in said.values.items()}
    return texts(f"trace.{said.kind}", **values)


def _value(texts: Texts, name: str, value: str) -> str:
    """Return what is filled in: words of ours in the language, and anything else in its own direction."""
    if name == "became":
        return texts(f"deliveries.became.{Became(value).name.lower()}")
    if name == "state":
        return texts(f"letters.state.{value}")
    return texts.isolated(value)


def english(said: Said) -> str:
    """Return a sentence in English, as the terminal and the API have it."""
    return sentence(_ENGLISH, said)
