#!/bin/sh
# Gets RCV1-v2's token files and topic assignments (Lewis et al., JMLR 2004) for --dataset reuters10k: about 100 MB.
# JMLR publishes no checksums, so this is a step of its own; HTTPS and gzip's own are checked.
set -eu
cd "$(dirname "$0")"
site=https://www.jmlr.org/papers/volume5/lewis04a
for file in a12-token-files/lyrl2004_tokens_test_pt0.dat a12-token-files/lyrl2004_tokens_test_pt1.dat \
    a12-token-files/lyrl2004_tokens_test_pt2.dat a12-token-files/lyrl2004_tokens_test_pt3.dat \
    a12-token-files/lyrl2004_tokens_train.dat a08-topic-qrels/rcv1-v2.topics.qrels; do
    name=$(basename "$file").gz
    [ -f "$name" ] && continue
    curl --fail --location --proto =https --max-filesize 200000000 --output "$name.part" "$site/$file.gz"
    gzip --test < "$name.part"
    mv "$name.part" "$name"
done
