#!/bin/sh
# Prints where promtool is, after building it where Go is there and it was not built yet. Prints nothing without Go.
set -eu
version=v0.316.0
folder="${XDG_CACHE_HOME:-$HOME/.cache}/engagement-platform/promtool-$version"
if [ ! -x "$folder/promtool" ]; then
    command -v go >/dev/null || exit 0
    echo "Building promtool $version, which takes some minutes the first time." >&2
    mkdir -p "$folder"
    GOBIN="$folder" GOFLAGS=-p=2 go install "github.com/prometheus/prometheus/cmd/promtool@$version" >&2
fi
echo "$folder/promtool"
