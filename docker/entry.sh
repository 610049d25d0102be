#!/bin/sh
# Starts a program of the image. The platform reads secrets from files by itself: ENGAGEMENT_X_FILE in place of
# ENGAGEMENT_X, for one stream ENGAGEMENT_ORDERS__X_FILE. The compose file names such files; a secret that somebody sets
# comes before them. The generator of the demo, which takes no files, gets what is in its own.
set -eu

for name in $(env | sed -n 's/^\(ENGAGEMENT_[A-Z0-9_]*\)_FILE=.*/\1/p'); do
    eval "value=\${$name:-}"
    [ -z "$value" ] || unset "${name}_FILE"
done

if [ -n "${ENGAGEMENT_LOCAL_WRITER_DSN_FILE:-}" ]; then
    ENGAGEMENT_LOCAL_WRITER_DSN=$(cat "$ENGAGEMENT_LOCAL_WRITER_DSN_FILE")
    export ENGAGEMENT_LOCAL_WRITER_DSN
fi

exec "$@"
