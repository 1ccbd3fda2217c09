#!/bin/sh
# root.sh BINARY ROOT: lays out the root of the image: the binary, and what of Debian it and NVIDIA's driver load.
set -eu
binary=$1
root=$2

mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc" "$root/cache" "$root/mnt/models" "$root/tmp" "$root/usr/share/doc/convnext"
# as in Debian, for the loader stands in /lib64
ln -s usr/lib "$root/lib"
ln -s usr/lib64 "$root/lib64"
cp "$binary" "$root/usr/bin/convnext"

# Libraries of the binary; then those of libcuda.so.1, which are empty since glibc 2.34, but named by it.
loaded=$(ldd "$binary" | grep --only-matching '/[^ ]*')
folder=$(dirname "$(ldd "$binary" | sed --quiet 's/.*libc\.so\.6 => \([^ ]*\).*/\1/p')")
for library in $loaded "$folder/libdl.so.2" "$folder/libpthread.so.0" "$folder/librt.so.1"; do
    mkdir -p "$root/usr$(dirname "${library#/usr}")"
    cp --dereference "$library" "$root/usr${library#/usr}"
done

# By this file NVIDIA's runtime knows that libraries belong into Debian's folders; names are looked up as in Debian.
cp /etc/debian_version "$root/etc/"
printf 'hosts: files dns\n' > "$root/etc/nsswitch.conf"
printf 'convnext:x:65532:65532::/:\n' > "$root/etc/passwd"
printf 'convnext:x:65532:\n' > "$root/etc/group"

cp LICENSE-MIT LICENSE-APACHE deploy/image/sbom.cdx.json "$root/usr/share/doc/convnext/"
for package in libc6 libgcc-s1; do
    mkdir -p "$root/usr/share/doc/$package"
    cp --dereference "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/"
done

chmod 1777 "$root/tmp"
chown --recursive 0:0 "$root"
chown 65532:65532 "$root/cache"
# so that a layer of the same files is the same layer
find "$root" -exec touch --no-dereference --date=@0 {} +
