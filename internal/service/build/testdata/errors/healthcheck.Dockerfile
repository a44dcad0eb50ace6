FROM busybox
HEALTHCHECK --intervall=5s CMD true
