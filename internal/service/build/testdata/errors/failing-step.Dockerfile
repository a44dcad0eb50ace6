FROM busybox
RUN true
RUN echo about to fail >&2; \
    exit 3
