#!/bin/sh
# The first process of a machine: turns new, empty namespaces into a computer
# and becomes its systemd. Called by machine.py as
#   inside.sh outer DISK CGROUP NAME      in new pid, mount, uts, ipc and net namespaces
# and by itself as  inside.sh inner DISK  once the cgroup namespace is new as well.
# What it prints goes to DISK/console.log.
set -eu

if [ "$1" = outer ]; then
  disk=$2 cgroup=$3 name=$4 root=$2/root
  mount --make-rprivate /
  mount -t overlay overlay -o "lowerdir=/,upperdir=$disk/upper,workdir=$disk/work" "$root"

  mount -t proc proc "$root/proc"
  echo "$name" > "$root/proc/sys/kernel/hostname"
  # What is not namespaced belongs to the host: it can be read, never set.
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
  mount -o remount,bind,ro "$root/proc/sys"
  if [ -e "$root/proc/sysrq-trigger" ]; then
    mount --bind /dev/null "$root/proc/sysrq-trigger"
  fi
  # Namespaces share the boot id of the host too; a reboot must be seen as one.
  cat /proc/sys/kernel/random/uuid > "$disk/boot_id"
  mount --bind "$disk/boot_id" "$root/proc/sys/kernel/random/boot_id"
  mount -t sysfs -o ro sysfs "$root/sys"

  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir -p "$root/dev/pts" "$root/dev/shm"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  for stream in 0/stdin 1/stdout 2/stderr; do
    ln -s "/proc/self/fd/${stream%/*}" "$root/dev/${stream#*/}"
  done
  touch "$root/dev/console"
  mount --bind "$disk/console.log" "$root/dev/console"
  mount -t tmpfs -o mode=755 tmpfs "$root/run"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  ip link set lo up

  echo 0 > "$cgroup/cgroup.procs"
  exec unshare --cgroup "$0" inner "$disk"
fi

# A cgroup tree of its own: the host's would be shared by all machines.
mount -t cgroup2 cgroup2 "$2/root/sys/fs/cgroup"
cd "$2/root"
read -r _go # The harness says go when the network is plugged in.
pivot_root . .
umount -l .
# No clock, no kernel modules: these would be the host's.
exec setpriv --bounding-set=-sys_time,-sys_module \
  env -i container=salve PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=1 \
  < /dev/null
