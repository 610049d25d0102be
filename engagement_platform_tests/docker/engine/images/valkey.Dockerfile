# Stands in for the image of Valkey: the local stack's server, and Debian's client for it.
FROM engagement-test/debian
RUN groupadd --system --gid 999 valkey && useradd --system --gid valkey --uid 999 valkey \
    && install -d -o valkey -g valkey -m 1777 /data
RUN apt-get -qq update && apt-get -qq install --no-install-recommends valkey-tools > /dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY --from=server valkey-server /usr/local/bin/valkey-server
WORKDIR /data
EXPOSE 6379
CMD ["valkey-server"]
