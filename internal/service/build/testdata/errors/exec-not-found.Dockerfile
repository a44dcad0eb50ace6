FROM busybox
RUN ["frobnicate"]
