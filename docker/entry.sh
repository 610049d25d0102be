#!/bin/sh
# Starts a program of the image. A secret may come as a file: where ENGAGEMENT_X is not set and ENGAGEMENT_X_FILE is,
# the variable gets what is in the file. (Settings that are files themselves, such as ENGAGEMENT_API_TOKEN_FILE, are
# left alone: the platform reads them.)
set -eu

for name in \
    ENGAGEMENT_SOURCE_DSN ENGAGEMENT_PLATFORM_DSN ENGAGEMENT_REDIS_URL ENGAGEMENT_KAFKA_SASL_PASSWORD \
    ENGAGEMENT_API_URL ENGAGEMENT_API_PROXY ENGAGEMENT_LOCAL_WRITER_DSN
do
    eval "value=\${$name:-} file=\${${name}_FILE:-}"
    if [ -z "$value" ] && [ -n "$file" ]; then
        value=$(cat "$file") || {
            echo "error: ${name}_FILE names $file, which cannot be read." >&2
            echo "what to do: mount the file, readable by user 10001, or set $name." >&2
            exit 1
        }
        export "$name=$value"
    fi
    unset "${name}_FILE"
done

exec "$@"
