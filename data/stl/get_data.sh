#!/bin/sh
# Gets the STL-10 images (2.6 GB) for --dataset stl by hand. `python DEC.py --dataset stl` does the same by itself.
set -eu
cd "$(dirname "$0")"
archive=stl10_binary.tar.gz
curl --fail --location --proto =https --max-filesize 3000000000 --continue-at - --output "$archive" "https://ai.stanford.edu/~acoates/stl10/$archive"
echo "91f7769df0f17e558f3565bffb0c7dfb  $archive" | md5sum --check
tar --extract --file "$archive" --strip-components 1 \
    stl10_binary/train_X.bin stl10_binary/train_y.bin stl10_binary/test_X.bin stl10_binary/test_y.bin
