FROM busybox
COPY scr/main.go /x
