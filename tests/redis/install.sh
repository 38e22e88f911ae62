#!/usr/bin/env bash
# Redis and its Sentinel from Debian's packages, for the tests that need real ones. Does nothing where they are.
set -euo pipefail
command -v redis-server >/dev/null && command -v redis-sentinel >/dev/null && exit 0
command -v apt-get >/dev/null || { echo "no redis-server and no apt-get: install Redis 7 or Valkey by hand" >&2; exit 1; }
# nothing may start by itself: the tests bring up their own
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server redis-sentinel >/dev/null
