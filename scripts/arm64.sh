#!/bin/bash
# A board's processor for tests, on another machine: Debian 12 for arm64 (Python 3.11, as Raspberry Pi OS bookworm has), whose programs
# run one by one under qemu-user. Neither root nor a chroot is needed. Results can be tested so; speed cannot.
#
#   scripts/arm64.sh build            once: two minutes, 200 MB in $EDGESEG_ARM64 or ~/.cache/edgeseg/arm64
#   scripts/arm64.sh python ARG...    its python3 with these arguments, in the current folder
#
# BOARD is pi4 (Cortex-A72, the default) or pi5 (Cortex-A76, which has dot products). Needs mmdebstrap and qemu-user (apt install them).
set -euo pipefail
home=${EDGESEG_ARM64:-$HOME/.cache/edgeseg/arm64}

need() {
  command -v "$1" >/dev/null || { echo "arm64: $1 is missing; see the head of $0" >&2; exit 2; }
}

# What the kernel of a board says of its processor. Without it libraries read this machine's /proc/cpuinfo, and crash.
cpuinfo() {
  for number in 0 1 2 3; do
    printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: %s\nCPU implementer\t: 0x41\n' "$number" "$2"
    printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: %s\nCPU revision\t: 3\n\n' "$1"
  done
}

# A system of its own for a board: the files of the one that was unpacked, and the board's /proc and /sys.
board() {
  mkdir -p "$home/$1/proc" "$home/$1/sys/devices/system/cpu"
  for part in usr lib etc; do ln -sfn "../root/$part" "$home/$1/$part"; done
  cpuinfo "$2" "$3" >"$home/$1/proc/cpuinfo"
  for list in possible present online; do echo 0-3 >"$home/$1/sys/devices/system/cpu/$list"; done
}

case ${1:-} in
  build)
    need mmdebstrap
    rm -rf "$home" && mkdir -p "$home"
    # Unpacked, not installed: nothing of it need run here, and Python needs no more than its files.
    mmdebstrap --arch=arm64 --variant=extract --include=python3,libpython3.11-stdlib,libstdc++6,libgcc-s1,libgl1,libglib2.0-0,zlib1g \
      --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr bookworm "$home/root.tar"
    mkdir "$home/root"
    tar -C "$home/root" -xf "$home/root.tar" --exclude='./dev/*'
    rm "$home/root.tar"
    board pi4 0xd08 "fp asimd evtstrm crc32 cpuid"
    board pi5 0xd0b "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    echo "built in $home"
    ;;
  python)
    need qemu-aarch64
    [ -x "$home/root/usr/bin/python3.11" ] || { echo "arm64: nothing is built in $home; run: $0 build" >&2; exit 2; }
    shift
    case ${BOARD:-pi4} in
      pi4) cpu=cortex-a72 ;;
      pi5) cpu=cortex-a76 ;;
      *) echo "arm64: there is no board $BOARD; there are: pi4, pi5" >&2; exit 2 ;;
    esac
    exec qemu-aarch64 -cpu "$cpu" -L "$home/${BOARD:-pi4}" "$home/root/usr/bin/python3.11" "$@"
    ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
