FROM busybox AS build
FROM busybox
COPY --from=build /app /app
