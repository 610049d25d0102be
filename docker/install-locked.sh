#!/bin/sh
# Installs what a lock says, file by file, and resolves nothing: install-locked.sh LOCK PIP...
# PIP is the command that installs, such as ".venv/bin/pip" or "uv pip".
#
# A lock is complete, so --no-deps leaves nothing out. Without it pip takes a newer release than the locked one as soon
# as there is one, for a package that is locked with an extra and that others need without it. Wheels only: what is built
# from source resolves what it is built with.
set -eu
lock=$1
shift
exec "$@" install --quiet --no-deps --require-hashes --only-binary :all: -r "$lock"
