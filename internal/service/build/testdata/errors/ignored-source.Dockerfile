FROM busybox
COPY secret.log /x
