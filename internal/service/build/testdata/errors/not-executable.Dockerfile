FROM busybox
COPY README.md /r
RUN /r
