#!/bin/sh
# Starts a program of the image. A secret may come as a file: where ENGAGEMENT_X is not set and ENGAGEMENT_X_FILE is,
# the variable gets what is in the file. (Settings that are files themselves, such as ENGAGEMENT_API_TOKEN_FILE, are
# left alone: the platform reads them.) The same for a setting of one stream, ENGAGEMENT_ORDERS__X.
set -eu

names=
for setting in SOURCE_DSN PLATFORM_DSN REDIS_URL KAFKA_SASL_PASSWORD API_URL API_PROXY LOCAL_WRITER_DSN; do
    of_streams=$(env | sed -n "s/^\(ENGAGEMENT_[A-Z0-9_]*__$setting\)_FILE=.*/\1/p")
    names="$names ENGAGEMENT_$setting $of_streams"
done

for name in $names; do
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
