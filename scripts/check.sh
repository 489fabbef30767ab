#!/usr/bin/env bash
# Everything that must hold before a change lands: form, static checks, tests against real servers, all but the
# model's with the race detector, every benchmark once; and none of it may leave a trace in the tree.
#
# VIDMETA_MYSQLD names the MySQL server to test with; when it is not set, scripts/mysql.sh fetches one.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
	echo "== $1 ($((SECONDS))s)"
}
tree() {
	git status --porcelain && git diff HEAD
}

before=$(tree)

if [ -z "${VIDMETA_MYSQLD:-}" ]; then
	step "a real MySQL"
	VIDMETA_MYSQLD=$(scripts/mysql.sh) || {
		echo "scripts/check.sh: the tests need a real MySQL beside MariaDB, and it could not be had" >&2
		exit 1
	}
fi
export VIDMETA_MYSQLD
echo "MySQL: $VIDMETA_MYSQLD"

step "gofmt"
unformatted=$(gofmt -l .)
if [ -n "$unformatted" ]; then
	printf 'not formatted (run gofmt -w):\n%s\n' "$unformatted" >&2
	exit 1
fi

staticcheck=$(go tool -n staticcheck) # the path of the program, which the tool has built
for module in . bench; do
	cd "$module"
	step "go vet in $module"
	go vet ./...

	step "staticcheck in $module"
	"$staticcheck" ./...

	step "go test -race in $module"
	# -count 1: some tests build the program and run it, which the cache of test results does not know. Each search of the
	# model is one goroutine's, and would take five times as long.
	packages=$(go list ./...)
	go test -race -count 1 -timeout 15m $(grep -v '/internal/model$' <<<"$packages")
	if grep -q '/internal/model$' <<<"$packages"; then
		go test -count 1 -timeout 15m ./internal/model
	fi

	step "every benchmark once in $module"
	# go test itself would take one package after another, so as not to disturb what is measured. Here nothing is.
	xargs -P 2 -n 1 go test -run '^$' -bench . -benchtime 1x -timeout 10m <<<"$packages"
	cd "$OLDPWD"
done

step "an unchanged tree"
if [ "$(tree)" != "$before" ]; then
	echo "the checks changed the tree:" >&2
	diff <(echo "$before") <(tree) >&2 || true
	exit 1
fi
step "all good"
