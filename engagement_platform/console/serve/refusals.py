"""What the pages refuse by themselves: a text of `texts/refusals.toml`, said in the language of who reads it.

What a server or the stream's own rules refuse (`EngagementError`) stays in its own words, which logs have, too.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException

from engagement_platform.console.serve.texts import LANGUAGES, Texts

_FIRST = next(iter(LANGUAGES))


class PageRefusal(HTTPException):
    """A refusal with its text, by the text's name below `refusals`. To programs it is said in English."""

    def __init__(self, status: int, name: str, headers: Mapping[str, str] | None = None, /, **values: object) -> None:
        self._key, self._values = f"refusals.said.{name}", values
        super().__init__(status, self.said(Texts(_FIRST)), headers)

    def said(self, texts: Texts) -> str:
        """Return the text in a language."""
        return texts(self._key, **{name: texts.isolated(value) for name, value in self._values.items()})


def said(error: HTTPException, texts: Texts) -> str:
    """Return what a refusal says in a language; of what has no text its own words."""
    return error.said(texts) if isinstance(error, PageRefusal) else error.detail


def title(status: int, phrase: str, texts: Texts) -> str:
    """Return the title of a page with an error; `phrase` where its status has no text."""
    key = f"refusals.title.{status}"
    return texts(key) if texts.has(key) else phrase
