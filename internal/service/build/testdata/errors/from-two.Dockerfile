FROM busybox debian
