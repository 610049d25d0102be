#!/bin/bash
# As the image of Kafka does it: its own class turns the variables into a configuration, formats storage where that is
# new, and the server starts with the options for logs that it was given, or with those that write files.
set -eu
config=/opt/kafka/config
logs=${KAFKA_LOG4J_OPTS:--Dlog4j2.configurationFile=$config/log4j2.yaml}
java() { /opt/java/bin/java $logs -Dkafka.logs.dir=/opt/kafka/logs -cp '/opt/kafka/libs/*' "$@"; }
made=$(java kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
    --mounted-configs-dir /mnt/shared/config --final-configs-dir "$config" 2>&1) \
    || grep --ignore-case 'already formatted' <<< "$made" || { echo "$made"; exit 1; }
mkdir -p /opt/kafka/logs
exec /opt/java/bin/java ${KAFKA_HEAP_OPTS:-} $logs -Dkafka.logs.dir=/opt/kafka/logs -cp '/opt/kafka/libs/*' \
    kafka.Kafka "$config/server.properties"
