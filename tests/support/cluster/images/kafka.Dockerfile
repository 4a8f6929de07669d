# Stands in for apache/kafka: its jars and a Java, without its start script; with its user, 1000.
FROM localhost/flobc-test/debian:bookworm
RUN groupadd --gid 1000 appuser && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /tmp appuser && \
    apt-get update && \
    apt-get install -y --no-install-recommends openjdk-17-jre-headless && \
    rm -rf /var/lib/apt/lists/* && \
    mkdir -p /var/lib/kafka/data && chown -R 1000:1000 /var/lib/kafka
COPY libs /opt/kafka/libs
USER 1000:1000
CMD ["java", "-version"]
