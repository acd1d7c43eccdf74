#!/bin/bash
# A webcam and virtual cameras for tests, on a machine that has none: Debian 12 in QEMU with the kernel's own test camera (vivid,
# /dev/video0, which can be unplugged) and v4l2loopback (/dev/video10 with exclusive_caps, /dev/video11 without).
#
#   scripts/camera_vm.sh build              once: some minutes, 2 GB in $EDGESEG_CAMERA_VM or ~/.cache/edgeseg/camera-vm
#   scripts/camera_vm.sh run DIR [SECONDS]  boots it, runs DIR/job there by bash, in DIR; what it writes in DIR is there afterwards.
#                                           Exit status of the job; 124 where SECONDS (900) ran out
#
# Needs mmdebstrap, genext2fs and qemu-system-x86 (apt install them), and to build: root, or user namespaces (package uidmap).
# Without ACCEL=kvm the processor is emulated, twenty times slower: function is tested there, speed is not.
set -euo pipefail
home=${EDGESEG_CAMERA_VM:-$HOME/.cache/edgeseg/camera-vm}

need() {
  for tool in "$@"; do command -v "$tool" >/dev/null || { echo "camera_vm: $tool is missing; see the head of $0" >&2; exit 2; }; done
}

# What the machine does once it has started: devices, then the job, then off.
first_process() {
  cat <<'INIT'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /job
mount -t tmpfs shm /dev/shm
/lib/systemd/systemd-udevd --daemon
modprobe vivid n_devs=1 node_types=0x1 allocators=0
modprobe v4l2loopback video_nr=10,11 card_label=edgeseg,feed exclusive_caps=1,0
udevadm trigger --subsystem-match=video4linux
udevadm settle
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose job /job
cd /job
bash ./job
echo $? >/job/.status
cd /
umount /job
sync
echo o >/proc/sysrq-trigger
sleep 60
INIT
}

build() {
  need mmdebstrap genext2fs
  mkdir -p "$home"
  first_process >"$home/first-process"
  packages=linux-image-amd64,linux-headers-amd64,v4l2loopback-dkms,initramfs-tools,udev,kmod,procps,v4l-utils,python3,libgl1,libglib2.0-0
  mmdebstrap --variant=minbase --include="$packages" \
    --customize-hook="upload $home/first-process /usr/sbin/first-process" \
    --customize-hook='chmod +x "$1/usr/sbin/first-process"' \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/usr/share/doc/* "$1"/usr/share/locale/*' \
    --customize-hook="copy-out /boot $home" \
    bookworm "$home/root.ext2"
  mv "$home"/boot/vmlinuz-* "$home/kernel"
  mv "$home"/boot/initrd.img-* "$home/initrd"
  rm -rf "$home/boot" "$home/first-process"
  echo "built in $home"
}

run() {
  need qemu-system-x86_64
  [ -f "$home/initrd" ] || { echo "camera_vm: nothing is built in $home; run: $0 build" >&2; exit 2; }
  dir=$(realpath "$1")
  rm -f "$dir/.status"
  timeout "${2:-900}" qemu-system-x86_64 -accel "${ACCEL:-tcg}" -cpu max -smp 2 -m 3G -nographic -no-reboot -nic none -snapshot \
    -kernel "$home/kernel" -initrd "$home/initrd" -append "root=/dev/vda rw quiet panic=1 no_timer_check console=ttyS0 init=/usr/sbin/first-process" \
    -drive "file=$home/root.ext2,format=raw,if=virtio" \
    -virtfs "local,path=$dir,mount_tag=job,security_model=none" </dev/null || { [ $? = 124 ] && exit 124; }
  status=$(cat "$dir/.status" 2>/dev/null || echo 1)
  rm -f "$dir/.status"
  exit "$status"
}

case ${1:-} in
  build) build ;;
  run) [ $# -ge 2 ] || { echo "camera_vm: run needs a folder" >&2; exit 2; }; shift; run "$@" ;;
  *) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
