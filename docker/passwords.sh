#!/bin/sh
# Makes up the passwords of the bundled servers, each in a file of its own in the folder given, and the addresses with
# them. Those that are there stay. Files are readable by their owner and its group only.
set -eu
umask 027
cd "$1"

random() { od -An -N24 -v -tx1 /dev/urandom | tr -d ' \n'; }

# keep NAME: what comes in becomes the file's content, unless there is one. A file is there whole or not at all.
keep() {
    [ -s "$1" ] || { cat > "$1.new" && mv "$1.new" "$1"; }
}

for name in postgres media_owner engagement_reader engagement_platform valkey; do
    random | keep "$name"
done
printf 'whsec_%s' "$(head -c 24 /dev/urandom | base64)" | keep api_signing_key

printf 'postgresql://media_owner:%s@postgres:5432/media' "$(cat media_owner)" | keep writer_dsn
printf 'postgresql://engagement_reader:%s@postgres:5432/media' "$(cat engagement_reader)" | keep source_dsn
printf 'postgresql://engagement_platform:%s@postgres:5432/engagement_platform' "$(cat engagement_platform)" \
    | keep platform_dsn
printf 'redis://default:%s@valkey:6379/0' "$(cat valkey)" | keep redis_url
