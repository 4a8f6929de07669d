# Stands in for python:3.11-slim: the same Python, Debian's instead of the official build.
FROM localhost/flobc-test/debian:bookworm
RUN apt-get update && \
    apt-get install -y --no-install-recommends python3 python3-venv ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    ln -s python3 /usr/bin/python
# The certificates that this machine trusts, so that pip reaches what pip reaches here.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
