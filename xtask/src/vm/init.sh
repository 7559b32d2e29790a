#!/bin/busybox sh
# The first process of a guest: mounts what programs expect, runs the tests, and
# turns the machine off. Debian's programs come first, busybox has the rest.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin:/busybox
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /busybox
/bin/busybox --install -s /busybox
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
# Other users come by here too.
chmod 1777 /tmp
echo "@kernel $(uname -r)"
/run.sh </dev/null
echo "@over"
poweroff -f
