FROM busybox
apt-get update
