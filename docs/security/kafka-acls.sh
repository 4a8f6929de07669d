#!/bin/sh
# Give the users of one chain their rights and byte rates in Kafka. Running it again changes nothing.
#
#   KAFKA=kafka:9093 ADMIN=admin.properties CHAIN=0123456789abcdef \
#   TRAINERS="trainer-0 trainer-1" VALIDATORS="validator-0 validator-1" LEDGERS="ledger-0" OPERATORS="" \
#   sh kafka-acls.sh
#
# ADMIN is a file of client properties of a super user; CHAIN the first 16 digits of the chain id (flobc status).
# Kafka's own kafka-acls.sh and kafka-configs.sh must be on the PATH.
set -eu

LOG="flobc.$CHAIN.log"
UPDATES="flobc.$CHAIN.updates"

TRAINER_BYTES_PER_S="${TRAINER_BYTES_PER_S:-10000000}"
VALIDATOR_BYTES_PER_S="${VALIDATOR_BYTES_PER_S:-100000000}"

allow() { # TOPIC OPERATIONS USERS
    topic="$1" operations="$2" users="$3"
    if [ -z "$users" ]; then return; fi
    set --
    for operation in $operations; do set -- "$@" --operation "$operation"; done
    for user in $users; do set -- "$@" --allow-principal "User:$user"; done
    kafka-acls.sh --bootstrap-server "$KAFKA" --command-config "$ADMIN" --add --topic "$topic" "$@"
}

limit() { # BYTES_PER_S USERS
    for user in $2; do
        kafka-configs.sh --bootstrap-server "$KAFKA" --command-config "$ADMIN" --alter \
            --entity-type users --entity-name "$user" \
            --add-config "producer_byte_rate=$1,consumer_byte_rate=$1"
    done
}

# Only validators write the log, and they alone make the topics. Trainers have no business in the log.
allow "$LOG" "Read Write Create DescribeConfigs" "$VALIDATORS"
allow "$UPDATES" "Read Create DescribeConfigs" "$VALIDATORS"
allow "$UPDATES" "Read Write DescribeConfigs" "$TRAINERS"
allow "$LOG" "Read DescribeConfigs" "$LEDGERS"
allow "$UPDATES" "Write" "$OPERATORS"

limit "$TRAINER_BYTES_PER_S" "$TRAINERS $OPERATORS"
limit "$VALIDATOR_BYTES_PER_S" "$VALIDATORS $LEDGERS"
