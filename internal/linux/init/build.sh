#!/bin/sh
# Compiles the init into built/init, which the Go side embeds. It uses no
# library at all, so any C compiler for the machine will do: CC=... chooses one.
set -eu
cd "$(dirname "$0")"
out=built/init
tmp=$out.$$
trap 'rm -f "$tmp"' EXIT
"${CC:-gcc}" -std=gnu11 -Os -Wall -Wextra -Werror \
	-static -no-pie -fno-pie -nostdlib -ffreestanding -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fno-strict-aliasing -fomit-frame-pointer \
	-Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-z,noexecstack -Wl,--gc-sections -s \
	-o "$tmp" src/init.c
chmod 755 "$tmp"
mv "$tmp" "$out"
