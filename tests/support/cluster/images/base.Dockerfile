# A small Debian, as debootstrap made it, in place of an image that cannot be fetched here.
FROM scratch
ADD rootfs.tar /
ENV LANG=C.UTF-8
