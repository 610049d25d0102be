# Stands in for the image of Kafka: the local stack's server, with the users, folders and volumes of theirs.
FROM engagement-test/debian
RUN useradd --uid 1000 --user-group --create-home --shell /bin/bash appuser \
    && install -d -o appuser -g appuser /opt/kafka /opt/kafka/config /opt/kafka/logs /mnt/shared/config \
    && install -d -o appuser -g root -m 0775 /etc/kafka /etc/kafka/docker /etc/kafka/secrets /var/lib/kafka \
        /var/lib/kafka/data
COPY --from=java . /opt/java/
COPY --from=kafka jars modules /opt/kafka/libs/
COPY --from=log4j */log4j-slf4j-impl-* /opt/kafka/libs/
COPY log4j2.yaml tools-log4j2.yaml /etc/kafka/docker/
COPY --chmod=0755 kafka.sh /etc/kafka/docker/run
RUN touch /etc/kafka/docker/server.properties && rm -f /opt/kafka/libs/slf4j-simple-*
USER appuser
EXPOSE 9092
VOLUME ["/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"]
CMD ["/etc/kafka/docker/run"]
