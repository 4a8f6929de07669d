# Stands in for redis: Debian's server, with the user and the folder of the official image.
FROM localhost/flobc-test/debian:bookworm
RUN groupadd --system --gid 999 redis && useradd --system --uid 999 --gid 999 --home-dir /data redis && \
    apt-get update && \
    apt-get install -y --no-install-recommends redis-server && \
    rm -rf /var/lib/apt/lists/* && \
    mkdir -p /data && chown redis:redis /data
WORKDIR /data
USER 999:999
CMD ["redis-server", "--protected-mode", "no", "--dir", "/data"]
