#!/bin/sh
# Checks the chart by helm and, against the schemas of Kubernetes, by kubernetes-validate, then tries it in a real cluster.
# Its options are those of `python -m engagement_platform_tests.kubernetes`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
programs=$("$here/programs.sh")
[ -n "$programs" ] || { echo "error: the chart was not tried." >&2; exit 1; }
chart="$root/deploy/helm/engagement-platform"
cd "$root"

.venv/bin/pytest -q "$here/test_chart.py"

if [ ! -x "$programs/validate/bin/kubernetes-validate" ]; then
    "${PYTHON:-python3}" -m venv "$programs/validate"
    sh docker/install-locked.sh "$here/check.lock" "$programs/validate/bin/pip" --disable-pip-version-check
fi
for values in least pods; do
    "$programs/bin/helm" template media "$chart" --kube-version 1.34.4 --namespace data --values "$here/values-$values.yaml" \
        > "$programs/rendered.yaml"
    "$programs/validate/bin/kubernetes-validate" --strict -k 1.34 "$programs/rendered.yaml" > /dev/null
done
echo "helm and the schemas of Kubernetes 1.34 have nothing to say."

exec .venv/bin/python -m engagement_platform_tests.kubernetes --programs "$programs" "$@"
