#!/usr/bin/env bash
# Prints the path of a real MySQL server's `mysqld`, fetching it first if need be. Stable Debian has MariaDB only, Debian
# unstable has MySQL: this fetches its package with all the libraries it needs from the mirror that apt already uses,
# and unpacks them into a cache folder. Nothing of the system changes, no right is needed. Remove the folder to renew.
#
# Cache: $VIDMETA_CACHE, else vidmeta/ in $XDG_CACHE_HOME or ~/.cache (about 250 MB).
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${VIDMETA_CACHE:-}" ]; then
	cache=$VIDMETA_CACHE
elif [ -n "${XDG_CACHE_HOME:-}${HOME:-}" ]; then
	cache=${XDG_CACHE_HOME:-$HOME/.cache}/vidmeta
else
	cache=$PWD/.dev/cache
fi
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)

fail() {
	echo "scripts/mysql.sh: $1" >&2
	echo "To go without it, set VIDMETA_MYSQLD to the path of any MySQL 8.4 or newer mysqld." >&2
	exit 1
}

# One at a time; whoever waited finds the work done.
exec 9>"$cache/mysql.lock"
flock 9
if [ -x "$cache/mysql/mysqld" ]; then
	echo "$cache/mysql/mysqld"
	exit
fi
for tool in apt-get dpkg-deb; do
	command -v "$tool" >/dev/null || fail "there is no $tool here to fetch MySQL with"
done
echo "scripts/mysql.sh: fetching MySQL from Debian unstable into $cache/mysql" >&2

work=$(mktemp -d "$cache/mysql.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/apt/{lists,cache}/partial "$work/root"
: >"$work/apt/status" >"$work/apt/list"

# apt with a state of its own: no installed package, one suite, no pins, none of the system's hooks.
cat >"$work/apt/conf" <<CONF
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg;
Dir::State "$work/apt";
Dir::State::lists "$work/apt/lists";
Dir::State::status "$work/apt/status";
Dir::Cache "$work/apt/cache";
Dir::Cache::archives "$work/apt/cache";
Dir::Etc::SourceList "$work/apt/list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
CONF
apt() {
	apt-get -qq -c "$work/apt/conf" "$@" </dev/null >&2
}

# The mirrors in use: those that serve this system's own suite.
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
mirrors=$(apt-get update --print-uris -o Debug::NoLocking=1 2>/dev/null |
	sed -nE "s|^'([^']*)/dists/$suite/InRelease'.*|\1|p" | sort -u)
found=
for mirror in $mirrors; do
	echo "deb $mirror sid main" >"$work/apt/list"
	if apt update -o APT::Update::Error-Mode=any && apt install -y --download-only --no-install-recommends mysql-server-core; then
		found=$mirror
		break
	fi
done
[ -n "$found" ] || fail "no mirror that apt uses here serves Debian unstable's mysql-server-core (see above)"

for package in "$work"/apt/cache/*.deb; do
	case ${package##*/} in
	perl* | libperl*) ;; # for the package's maintainer scripts alone
	*) dpkg-deb -x "$package" "$work/root" ;;
	esac
done
unpacked=$work/root
rm -rf "$work/apt" "$unpacked"/usr/share/{doc,man,locale,zoneinfo}

# The system's libraries may be too old for it, so the loader that it was built for starts it with the libraries beside it.
cat >"$work/mysqld" <<'WRAPPER'
#!/bin/sh
root=$(cd "${0%/*}" && pwd)/root
for loader in "$root"/usr/lib*/ld-linux*.so.* "$root"/usr/lib/*-linux-*/ld-linux*.so.*; do
	[ -x "$loader" ] && break
done
path=
for dir in "$root"/usr/lib/*-linux-* "$root"/usr/lib/*-linux-*/mysql "$root"/usr/lib/mysql/private "$root"/usr/lib; do
	[ -d "$dir" ] && path=$path${path:+:}$dir
done
exec "$loader" --library-path "$path" "$root/usr/sbin/mysqld" "$@" \
	--basedir="$root/usr" --lc-messages-dir="$root/usr/share/mysql" --plugin-dir="$root/usr/lib/mysql/plugin"
WRAPPER
chmod 755 "$work/mysqld" "$work"
version=$("$work/mysqld" --no-defaults --version) || fail "the mysqld that was fetched does not start"
echo "scripts/mysql.sh: $version" >&2
rm -rf "$cache/mysql"
mv "$work" "$cache/mysql"
echo "$cache/mysql/mysqld"
