"""Asks Dagster by its public interface, GraphQL, whether a webserver runs or not.

The command `dagster-graphql` loads the code location for one request and answers it over the instance of DAGSTER_HOME,
as the webserver does for the UI. That takes some five seconds, most of them for the loading.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from engagement_platform.domain.errors import EngagementError

CODE_LOCATION = "engagement_platform.definitions"
_PROGRAM = "dagster-graphql"
_MAX_SECONDS = 300


def literal(value: str | list[str]) -> str:
    """Return a text, or a list of texts, as a document says it."""
    return json.dumps(value)


def mutate(field: str, success: str) -> dict[str, Any]:
    """Ask for a change: a field of the mutation with its arguments, and what to return of its success.

    Raises EngagementError with Dagster's words when it refuses, or cannot be asked.
    """
    answer = _ask(f"mutation {{ answer: {field} {{ __typename ... on {success} ... on Error {{ message }} }} }}")
    if "message" in answer:
        raise _refused(answer["message"].strip())
    return answer


def _ask(document: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "question.graphql"), Path(folder, "answer.json")
        question.write_text(document)
        try:
            done = subprocess.run(
                [_program(), "-m", CODE_LOCATION, "--file", str(question), "--output", str(answer)],
                capture_output=True,
                text=True,
                check=False,
                timeout=_MAX_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused(f"no answer within {_MAX_SECONDS} s") from error
        if done.returncode != 0 or not answer.exists():
            last_line = done.stderr.strip().rpartition("\n")[2].strip()
            raise _refused(last_line or f"{_PROGRAM} ended with status {done.returncode}")
        told = json.loads(answer.read_text())
    if "errors" in told:
        raise _refused("; ".join(str(error.get("message", error)) for error in told["errors"]))
    given: dict[str, Any] = told["data"]["answer"]
    return given


def _program() -> str:
    """Return the path of the command, beside this Python or on the path."""
    folders = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which(_PROGRAM, path=folders)
    if program is None:
        raise EngagementError(
            f"The command {_PROGRAM} is not installed.", "It comes with dagster-webserver: install that."
        )
    return program


def _refused(words: str) -> EngagementError:
    return EngagementError(
        f"Dagster does not do it: {words}",
        f"See that the code location loads: dagster definitions validate -m {CODE_LOCATION}. The UI can do the same.",
    )
