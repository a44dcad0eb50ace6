FROM busybox
RAN true
