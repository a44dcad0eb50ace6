FROM busybox
COPY src/mian.go /x
