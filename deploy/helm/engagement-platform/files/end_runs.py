"""Ends the runs of a release that has gone, as Kubernetes ends pods: each finishes the batch in hand."""

import sys
import time

from kubernetes import client, config

namespace, selector, patience = sys.argv[1], sys.argv[2], float(sys.argv[3])
config.load_incluster_config()
client.BatchV1Api().delete_collection_namespaced_job(
    namespace, label_selector=selector, propagation_policy="Background"
)
deadline = time.monotonic() + patience
while left := client.CoreV1Api().list_namespaced_pod(namespace, label_selector=selector).items:
    if time.monotonic() > deadline:
        sys.exit(f"Still there: {', '.join(pod.metadata.name for pod in left)}")
    time.sleep(1)
print("All runs have ended.")  # noqa: T201
