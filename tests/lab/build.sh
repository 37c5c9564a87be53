#!/bin/bash
# Builds the lab's machine (vmlinuz, initrd.gz, disk.qcow2) from Debian packages and Python wheels.
#   usage: build.sh OUT REQUIREMENTS CONSTRAINTS      PYTHON=the Python whose pip fetches the wheels
# Needs root (mmdebstrap, chroot); installs nothing on the host.  Packages come from the host's own apt sources of origin
# Debian, wheels from the host's own pip configuration.
set -euo pipefail
HERE=$(cd "$(dirname "$0")" && pwd); mkdir -p "$1"; OUT=$(cd "$1" && pwd); W=$OUT/stage
REQUIREMENTS=$(realpath "$2"); CONSTRAINTS=$(realpath "$3"); PYTHON=${PYTHON:-python3}
KV=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: linux-image-\(.*-amd64\)$/\1/p' | head -1)
[ -n "$KV" ] || { echo "build.sh: apt knows no linux-image-amd64; run apt-get update" >&2; exit 69; }
MM=$(cut -d. -f1,2 <<<"$KV"); SUITE=$(. /etc/os-release; echo "$VERSION_CODENAME")
rm -rf "$W"; mkdir -p "$W/debs"; cd "$W"
step() { printf '%5ss  %s\n' "$SECONDS" "$*"; }

step "kernel $KV: image, headers, source"
(cd debs && apt-get -qq -o APT::Sandbox::User=root download "linux-image-$KV" "linux-headers-$KV" \
   "linux-headers-${KV%-amd64}-common" "linux-kbuild-$MM" "linux-source-$MM")
mkdir k hdr mod
dpkg-deb -x debs/linux-image-*.deb k
for d in "headers-$KV" "headers-${KV%-amd64}-common" kbuild; do dpkg-deb -x debs/linux-"$d"*.deb hdr; done

step "modules gpio-sim and i2c-pi-sim"
# Debian leaves CONFIG_GPIO_SIM and CONFIG_IRQ_SIM off, so both are built out of tree from Debian's own source.
S=linux-source-$MM
dpkg-deb --fsys-tarfile debs/linux-source-*.deb | tar -xO "./usr/src/$S.tar.xz" > src.tar.xz
tar -xJf src.tar.xz -C mod --strip-components=3 "$S"/drivers/gpio/gpio-sim.c "$S"/drivers/gpio/gpiolib.h "$S"/kernel/irq/irq_sim.c
# irq_to_desc() is not exported to modules; the same descriptor is to be had through exported calls.
sed -i -e 's/irq_to_desc(irqnum)/irq_data_to_desc(irq_get_irq_data(irqnum))/' \
       -e 's/^#include <linux\/interrupt.h>/&\n#include <linux\/irqdesc.h>/' mod/irq_sim.c
mv mod/gpio-sim.c mod/gpio-sim-core.c
cp "$HERE/kmodsrc/i2c-pi-sim.c" mod/
printf 'obj-m := gpio-sim.o i2c-pi-sim.o\ngpio-sim-y := gpio-sim-core.o irq_sim.o\n' > mod/Makefile
sed -i "s#/usr/src#$W/hdr/usr/src#" "hdr/usr/src/linux-headers-$KV/Makefile"
make -s -C "hdr/usr/src/linux-headers-$KV" M="$W/mod" modules >mod.log 2>&1 || { cat mod.log >&2; exit 1; }

step "file system ($SUITE, minbase)"
apt-get indextargets --format '$(ORIGIN)|$(SIGNED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Created-By: Packages' 'Architecture: amd64' |
  awk -F'|' '$1=="Debian" {print "deb " ($2 ~ /^\// ? "[signed-by=" $2 "] " : "") $3 " " $4 " " $5}' | sort -u > debian.list
[ -s debian.list ] || { echo "build.sh: apt knows no Debian source; run apt-get update" >&2; exit 69; }
mmdebstrap -q --variant=minbase \
  --include=systemd,systemd-sysv,dbus,udev,kmod,make,python3,python3-venv,gpiod,i2c-tools,procps,e2fsprogs,busybox-static,sqlite3 \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  "$SUITE" tree debian.list
rm -rf tree/var/lib/apt/lists/* tree/var/cache/apt/* tree/etc/apt/sources.list.d/*

step "wheels: fetched on the host, installed without a network in the guest's tree"
PV=$(chroot tree python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PLATFORMS=(--platform any --platform manylinux2014_x86_64)
for p in 2_17 2_26 2_28 2_31 2_34 2_35 2_36; do PLATFORMS+=(--platform "manylinux_${p}_x86_64"); done
"$PYTHON" -m pip download -qq -d tree/wh --only-binary=:all: --python-version "$PV" --implementation cp \
  --abi "cp${PV/./}" --abi abi3 --abi none "${PLATFORMS[@]}" -r "$REQUIREMENTS" -c "$CONSTRAINTS"
cp "$REQUIREMENTS" tree/wh/requirements
chroot tree python3 -m venv /opt/venv
chroot tree /opt/venv/bin/pip install -q --no-index --find-links /wh -r /wh/requirements >pip.log 2>&1 || { cat pip.log >&2; exit 1; }
chroot tree /opt/venv/bin/python -m compileall -q /opt/venv/lib >/dev/null || true    # some wheels carry templates that are no Python
rm -rf tree/wh

step "kernel modules without the drivers no guest has, lab files, units"
M=tree/lib/modules/$KV; mkdir -p "$M/extra"
(cd "k/lib/modules/$KV" && tar -c --exclude=kernel/sound \
   --exclude=kernel/drivers/{gpu,media,infiniband,scsi,staging,isdn,net,iio,hwmon,input,usb,mmc,mtd,ata} .) | tar -x -C "$M"
for m in gpio-sim i2c-pi-sim; do strip --strip-debug -o "$M/extra/$m.ko" "mod/$m.ko"; done
chroot tree depmod "$KV" 2>/dev/null
cp -r "$HERE/guest/." tree/
chroot tree groupadd -f -r gpio; chroot tree groupadd -f -r i2c
chroot tree systemctl -q enable lab-agent.service lab-hw.service
chroot tree systemctl -q mask e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer \
  dpkg-db-backup.timer fstrim.timer getty@tty1.service systemd-firstboot.service serial-getty@ttyS0.service 2>/dev/null
echo lab > tree/etc/hostname; rm -f tree/etc/resolv.conf
printf '/dev/vda / ext4 defaults,noatime 0 1\n' > tree/etc/fstab
echo 11111111111111111111111111111111 > tree/etc/machine-id
mkdir -p tree/var/log/journal tree/data

step "initial RAM disk: busybox and the modules the root disk needs, in the order of modules.dep"
I=initrd; mkdir -p $I/{bin,proc,sys,dev,newroot,lib}
cp tree/bin/busybox $I/bin/; ln -s busybox $I/bin/sh
for m in virtio_pci virtio_blk virtio_console ext4 crc32c_intel crc32c_generic configfs virtio_rng; do
  chroot tree modprobe -S "$KV" --show-depends $m 2>/dev/null | awk '$1=="insmod"{print $2}'; done | awk '!s[$0]++' > mods
{ cat <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin; export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
INIT
  while read -r f; do cp "tree$f" $I/lib/; echo "insmod /lib/$(basename "$f") 2>/dev/null"; done < mods
  cat <<'INIT'
for w in 1 2 3 4 5 6 7 8 9; do [ -b /dev/vda ] && break; sleep 0.1; done
mount -t ext4 -o rw,noatime /dev/vda /newroot || exec sh
exec switch_root /newroot /sbin/init
INIT
} > $I/init; chmod 755 $I/init
cp -r $I tree/tmp/initrd
chroot tree sh -c 'cd /tmp/initrd && find . | busybox cpio -o -H newc 2>/dev/null' | gzip -1 > "$OUT/initrd.gz"
rm -rf tree/tmp/initrd
cp "k/boot/vmlinuz-$KV" "$OUT/vmlinuz"

step "disk image"
truncate -s 2G disk.raw
mke2fs -q -F -t ext4 -L lab -d tree disk.raw
qemu-img convert -O qcow2 disk.raw "$OUT/disk.qcow2"
step "done: tree $(du -sh tree | cut -f1), disk $(du -h "$OUT/disk.qcow2" | cut -f1)"
rm -rf "$W"
