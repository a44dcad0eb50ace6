FROM busybox
RUN --mount=type=cahce,target=/c true
