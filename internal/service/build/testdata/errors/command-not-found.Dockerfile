FROM busybox
RUN frobnicate --now
