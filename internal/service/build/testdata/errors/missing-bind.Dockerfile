FROM busybox
RUN --mount=type=bind,source=nothing-there,target=/m true
