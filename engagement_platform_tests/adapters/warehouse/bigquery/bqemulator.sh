#!/bin/sh
# Makes an environment of its own for bqemulator, whose version of DuckDB is not the platform's, and prints the command
# that starts it: `make test-bqemulator` does this and runs the tests.
set -eu
folder=$(mkdir -p "$1" && cd "$1" && pwd)
"${PYTHON:-python3}" -m venv "$folder/environment"
cd "$(dirname "$0")"
sh ../../../../docker/install-locked.sh bqemulator.lock "$folder/environment/bin/pip" --disable-pip-version-check >&2
python=$folder/environment/bin/python
package=$("$python" -c 'import duckdb_extension_spatial as found; print(found.__path__[0])')
duckdb=$("$python" -c 'import duckdb; print(duckdb.__version__)')
platform=$("$python" -c 'import duckdb; print(duckdb.sql("PRAGMA platform").fetchone()[0])')
# It looks for the extension in the home folder, and else downloads it.
extensions="$folder/.duckdb/extensions/v$duckdb/$platform"
mkdir -p "$extensions"
ln -sf "$package/extensions/v$duckdb/spatial.duckdb_extension" "$extensions/"
printf '#!/bin/sh\nHOME="%s" exec "%s/environment/bin/bqemulator" start "$@"\n' "$folder" "$folder" > "$folder/start"
chmod +x "$folder/start"
echo "$folder/start"
