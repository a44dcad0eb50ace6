# a comment
FORM busybox
RUN true
