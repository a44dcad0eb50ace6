FROM busybox
RUN touch /f
WORKDIR /f
