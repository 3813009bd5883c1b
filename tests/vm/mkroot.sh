#!/bin/sh
# Makes the guest's disk, kernel and initial file system in the directory $1.
# Needs root. What the packages do while they are set up, they do in a network
# namespace of their own: none of their scripts can touch this machine's network.
set -eu
out=$1
suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
packages=systemd-sysv,libpam-systemd,udev,kmod,dbus,procps,iproute2,nftables,openvpn,linux-image-amd64
packages=$packages,systemd-resolved,systemd-timesyncd,network-manager,ifupdown,isc-dhcp-client
packages=$packages,wireguard-tools,busybox
# VPN clients, and the servers for them.
packages=$packages,network-manager-openvpn,dnsmasq-base
packages=$packages,ppp,openssh-server,openssh-client,xl2tpd
packages=$packages,charon-systemd,strongswan-swanctl,libstrongswan-standard-plugins,libcharon-extauth-plugins,vpnc,vpnc-scripts

tree=$out/tree
trap 'rm -rf "$tree"' EXIT
apart() { unshare --net --mount --pid --fork --mount-proc "$@"; }

debootstrap --foreign --variant=minbase --include="$packages" "$suite" "$tree" "$mirror"
apart chroot "$tree" /debootstrap/debootstrap --second-stage
# The card's driver must come late, from the disk: the harder case.
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$tree/etc/initramfs-tools/conf.d/vm"
printf 'virtio_pci\nvirtio_blk\next4\n' >"$tree/etc/initramfs-tools/modules"
apart chroot "$tree" update-initramfs -u -k all
# No server starts by itself: each test starts its own, at the far end.
for unit in ssh xl2tpd strongswan; do apart chroot "$tree" systemctl disable "$unit"; done
rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*

cp "$tree"/boot/vmlinuz-* "$out/kernel"
cp "$tree"/boot/initrd.img-* "$out/initrd"
truncate -s 2G "$out/disk"
mkfs.ext4 -q -F -d "$tree" "$out/disk"
chmod a+r "$out/disk" "$out/kernel" "$out/initrd"
