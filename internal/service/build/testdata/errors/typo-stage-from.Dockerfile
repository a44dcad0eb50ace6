FROM busybox AS compile
FROM compiel
