#!/usr/bin/env bash
# Everything of .ci/c at full length: all block sizes, 8 threads of 50 streams under the sanitizers, all programs under valgrind.
exec env LISTENKIT_FULL=1 bash "$(dirname "$0")/../../.ci/c"
