FROM BusyBox:latest
