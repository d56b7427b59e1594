#!/bin/sh
# Sees to a Chromium for the tests that drive a browser. Never fails: without one those tests are skipped, and the
# test run says so.
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium for the browser tests." >&2
    log=$(mktemp)
    if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium; } \
        >"$log" 2>&1; then
        rm -f "$log"
        exit 0
    fi
    echo "Chromium could not be installed:" >&2
    tail -n 3 "$log" >&2
    rm -f "$log"
    exit 0
fi
echo "There is no Chromium: the browser tests will be skipped. On Debian: apt-get install chromium" >&2
