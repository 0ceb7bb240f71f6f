#!/usr/bin/env bash
# What the command line says about every fixture: lines "fingerprint path" for replay.c.
# fingerprints.sh LISTENKIT FIXTURES [OPTIONS OF listenkit...]
set -euo pipefail
listenkit=$1 fixtures=$2
shift 2
for audio in "$fixtures"/*/audio.wav; do
  text=$("$listenkit" "$@" analyze --set turn_model=none "$audio")
  print=$(sed -n 's/.*fingerprint \([0-9a-f]\{16\}\).*/\1/p' <<<"$text")
  [ -n "$print" ] || { echo "no fingerprint of $audio in: $text" >&2; exit 1; }
  echo "$print $audio"
done
