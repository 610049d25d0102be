# Stands in for the image of Python: the interpreter of the tests in a small Debian, without bytecode, as theirs is.
FROM engagement-test/debian
COPY --from=python . /usr/local/
RUN ldconfig && python3 -m ensurepip > /dev/null 2>&1 && ln -sf pip3 /usr/local/bin/pip \
    && find /usr/local -name '*.pyc' -delete
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
CMD ["python3"]
