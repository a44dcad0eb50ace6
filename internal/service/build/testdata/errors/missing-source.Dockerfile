FROM busybox
COPY nothing-like-it /x
