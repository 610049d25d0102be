#!/bin/sh
# Waits until the code location serves, a minute at most, then starts a program: after-code.sh PROGRAM...
# A daemon that comes first, as after `restart`, looks for it again only after a minute, in which nobody would stream;
# the webserver looks again when somebody asks it to.
set -eu
end=$(($(date +%s) + 60))
until healthy.py grpc code:4000 2> /dev/null || [ "$(date +%s)" -ge "$end" ]; do
    sleep 0.5
done
exec "$@"
