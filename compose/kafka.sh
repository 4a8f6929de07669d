# Past the image's own start script, so that its settings are these alone. The id is any: one broker, one volume.
set -eu
if [ ! -e /var/lib/kafka/data/meta.properties ]; then
    java -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format --standalone --ignore-formatted \
        -t FLoBCcomposeFLoBCcompA -c /compose/kafka.properties
fi
exec java -Xms256m -Xmx512m -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
    -cp '/opt/kafka/libs/*' kafka.Kafka /compose/kafka.properties
