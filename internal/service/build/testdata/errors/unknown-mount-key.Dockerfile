FROM busybox
RUN --mount=type=cache,targt=/c true
