FROM busybox AS build
FROM busybox
COPY --from=biuld /bin /b
