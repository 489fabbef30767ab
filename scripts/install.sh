#!/usr/bin/env bash
# Installs the servers that vidmeta runs as child processes, MariaDB and Redis, and with "bench" those that the benches
# compare it with, nginx and Varnish; from the system's own packages. Does nothing and prints nothing when they are there.
# No service of the system is started, none of its data touched.
set -euo pipefail
PATH=$PATH:/usr/sbin # where Debian keeps mariadbd, and not on every user's path

# MariaDB's "core" packages hold the programs alone: no service, no system database.
packages=()
command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || packages+=(mariadb-server-core)
command -v mariadb >/dev/null || packages+=(mariadb-client-core)
command -v redis-server >/dev/null || packages+=(redis-server)
if [ "${1:-}" = bench ]; then
	command -v nginx >/dev/null || packages+=(nginx)
	# Varnish compiles its configuration: its package depends on a C compiler.
	command -v varnishd >/dev/null && command -v varnishstat >/dev/null || packages+=(varnish)
fi
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi

by_hand() {
	echo "scripts/install.sh: $1" >&2
	echo "Please install these by hand (Debian's names): ${packages[*]}" >&2
	exit 1
}

command -v apt-get >/dev/null || by_hand "there is no apt-get here"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null && sudo -n true 2>/dev/null || by_hand "neither root nor sudo without a password"
	as_root=(sudo -n)
fi

# Debian asks this program before it starts a service that a package brings; 101 means no. One that is there is
# somebody else's: it stays, and if it would let a service start, the installing is left to its owner.
policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ]; then
	for service in "${packages[@]}"; do
		answer=0
		"$policy" "$service" start >/dev/null 2>&1 || answer=$?
		[ "$answer" -eq 101 ] || by_hand "$policy would start the system's $service"
	done
else
	trap '"${as_root[@]}" rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi

apt() {
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=120 "$@" </dev/null
}
echo "scripts/install.sh: installing ${packages[*]}" >&2
install=(install -y --no-install-recommends "${packages[@]}")
# The package lists may be missing or old: then, and only then, fetch them.
if ! apt "${install[@]}" >/dev/null 2>&1; then
	{ apt update && apt "${install[@]}"; } >&2 || by_hand "apt-get failed"
fi
