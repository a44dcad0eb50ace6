FROM busybox
INSTALL nginx
