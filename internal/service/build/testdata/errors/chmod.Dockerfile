FROM busybox
COPY --chmod=rwx README.md /
