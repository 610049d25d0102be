#!/bin/sh
# The topics of a stream, and what the platform's user may do with them; by Kafka's own programs, which are in its bin.
#
#   kafka.sh kafka-1.example:9092 admin.properties [STREAM [USER [REPLICAS]]]
#
# admin.properties is how an administrator connects. What is there already stays as it is. Nothing lets the user create or
# delete topics, or alter them: for that it would need Create on the cluster, which is why the topics are made here.
set -eu
brokers=$1
admin=$2
stream=${3:-engagement}
user=${4:-engagement}
replicas=${5:-3}

topic() {
    name=$1
    partitions=$2
    shift 2
    kafka-topics.sh --bootstrap-server "$brokers" --command-config "$admin" --create --if-not-exists \
        --topic "$name" --partitions "$partitions" --replication-factor "$replicas" "$@"
}

allow() {
    kafka-acls.sh --bootstrap-server "$brokers" --command-config "$admin" --add --force \
        --allow-principal "User:$user" "$@"
}

week="--config message.timestamp.type=LogAppendTime --config retention.ms=604800000 --config segment.ms=86400000"
topic "$stream-events" 4 $week
topic "$stream-events-replay" 4 $week
topic "$stream-dead-letters" 1 --config message.timestamp.type=LogAppendTime --config retention.ms=-1
topic "$stream-relay-checkpoint" 1 --config cleanup.policy=compact --config segment.bytes=16777216 \
    --config delete.retention.ms=60000

# The relay writes and, when it takes over, looks back; tally, forward and stage read. Describe comes with Read and Write.
allow --operation Read --operation Write --operation DescribeConfigs --topic "$stream-events"
allow --operation Read --operation Write --operation DescribeConfigs --topic "$stream-relay-checkpoint"
allow --operation Read --operation Write --operation DescribeConfigs --topic "$stream-dead-letters"
# What is published again on request: forward reads what of it is for the partner.
allow --operation Read --operation Write --operation DescribeConfigs --topic "$stream-events-replay"
# One relay at a time: the later one fences the earlier by this id.
allow --operation Write --transactional-id "engagement-relay-$stream-events"
# Where forward stands. The others keep their offsets beside what they have done.
allow --operation Read --group "$stream-forward"
