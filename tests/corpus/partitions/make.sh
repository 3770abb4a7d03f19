#!/bin/sh
# Makes the images of this directory and tables.json, which says what sfdisk, mmls and grub-fstest see
# in them.  Needs Debian's fdisk, gdisk, dosfstools, e2fsprogs, sleuthkit, grub-common and xorriso.
set -eu
export LC_ALL=C.UTF-8
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

disk() { rm -f "$1"; truncate -s "$2" "$1"; }

# Slots out of order, and a logical partition at the front of its container but the last of the chain.
disk mbr-logical.img 32M
sfdisk -q mbr-logical.img <<T
label: dos
label-id: 0xdecafbad
1: start=8192, size=2048, type=83, bootable
2: start=16384, size=40960, type=f
3: start=2048, size=4096, type=c
5: start=18432, size=2048, type=83
6: start=24576, size=2048, type=82
7: start=30720, size=4096, type=8e
8: start=36864, size=1024, type=fd
T
sfdisk -q --delete mbr-logical.img 5
echo 'start=20480, size=1024, type=83' | sfdisk -q --append mbr-logical.img

# Nothing in the table says that sectors have 4096 bytes; the file system and the boot record at their places do.
disk mbr-4096.img 64M
printf 'o\nn\np\n1\n256\n+2048\nn\ne\n2\n4096\n+8191\nn\nl\n4352\n+1023\nt\n1\nc\na\n1\nw\n' |
    fdisk -b 4096 mbr-4096.img >/dev/null 2>&1
mke2fs -q -F -t ext2 -E offset=$((256 * 4096)) mbr-4096.img 4M

disk gpt.img 16M
sfdisk -q gpt.img <<T
label: gpt
label-id: 11111111-2222-3333-4444-555555555555
1: start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, uuid=AAAAAAAA-0001-4000-8000-000000000001
3: start=8192, size=8192, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4, attrs="LegacyBIOSBootable", uuid=AAAAAAAA-0001-4000-8000-000000000003
9: start=4096, size=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name="EFI", attrs="RequiredPartition", uuid=AAAAAAAA-0001-4000-8000-000000000009
T
sgdisk --change-name=3:"größe ☃ 𝄞" gpt.img >/dev/null
cp --sparse=always gpt.img gpt-hybrid.img
sgdisk --hybrid=3:9 gpt-hybrid.img >/dev/null
printf '\200' | dd of=gpt-hybrid.img bs=1 seek=478 conv=notrunc status=none   # slot 3 of the MBR is active
cp --sparse=always gpt.img gpt-backup.img
dd if=/dev/zero of=gpt-backup.img bs=512 seek=1 count=33 conv=notrunc status=none

disk sparc.img 64M
sfdisk -q sparc.img <<T
label: sun
1: start=0, size=20480, type=2
2: start=32130, size=40960, type=82
3: start=0, size=112455, type=5
T

# Offsets in the label are absolute; c stands for the slice, d for the disk.
disk bsd.img 16M
printf 'label: dos\nlabel-id: 0x00b5d1ab\nstart=2048, size=16384, type=a5, bootable\n' | sfdisk -q bsd.img
printf '%s\n' b y n a 2304 +4096 n b 8192 +2048 t a 7 t b 1 w | fdisk bsd.img >/dev/null

disk fat-mbr.img 4M
mkfs.vfat --mbr=yes -i 12345678 fat-mbr.img >/dev/null

mkdir tree
echo 'set timeout=1' > tree/grub.cfg
disk esp.img 128K
mkfs.vfat -i 12345678 esp.img >/dev/null
cp esp.img tree/
xorriso -as mkisofs -quiet -R -V HYBRID -efi-boot-part --efi-boot-image -e esp.img -no-emul-boot \
    -o iso-gpt.img tree 2>/dev/null

python3 - <<'P' > "$here/tables.json"
import glob, json, re, subprocess

def run(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout

tables = {}
for image in sorted(glob.glob("*.img")):
    if image == "esp.img":
        continue
    known = {"grub": sorted(re.findall(r"\(loop0,([a-z0-9,]+)\)", run("grub-fstest", image, "ls")))}
    if image == "mbr-4096.img":  # sfdisk only knows sectors of 512 bytes in a file
        known["fdisk"] = run("fdisk", "-b", "4096", "-l", image).splitlines()
    else:
        known["sfdisk"] = json.loads(run("sfdisk", "--json", image))["partitiontable"]
    if image == "bsd.img":
        known["mmls"] = run("mmls", "-t", "bsd", "-o", "2048", image).splitlines()
    tables[image.removesuffix(".img")] = known
print(json.dumps(tables, indent=1, ensure_ascii=False))
P
rm esp.img
for image in *.img; do xz -9ec "$image" > "$here/$image.xz"; done
