#!/bin/busybox sh
# First process of the guest: load what the kernel needs, stack a scratch disk over the host's files, go there.
/bin/busybox --install -s /bin
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro,cache=loose host /host
mount -t tmpfs -o size=70% tmpfs /scratch
mkdir /scratch/upper /scratch/work
mount -t overlay -o lowerdir=/host,upperdir=/scratch/upper,workdir=/scratch/work overlay /root
for at in proc sys dev tmp run; do mkdir -p "/root/$at"; done
mount -t proc none /root/proc
mount -t sysfs none /root/sys
mount -t devtmpfs none /root/dev
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts none /root/dev/pts
for at in tmp run dev/shm; do mount -t tmpfs none "/root/$at"; done
mount -t cgroup2 none /root/sys/fs/cgroup
ifconfig lo up
hostname guest
cp /inside.sh /binary /root/run/
chmod 755 /root/run/binary
exec switch_root /root /bin/bash /run/inside.sh
