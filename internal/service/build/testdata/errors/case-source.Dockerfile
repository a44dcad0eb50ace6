FROM busybox
COPY Readme.md /x
