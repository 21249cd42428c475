#!/usr/bin/env bash
# Tells the story of docker-stig on a real engine, registry and Notary server:
# sign, verify, enforce, check, fix, undo. Exits 0 only if each step did what the
# story says; everything it started is taken down again.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d /tmp/stig-demo.XXXXXX) # short: a socket's path has 108 bytes at most
tools=$work/tools
bed=$work/bed
started=()

finish() {
	status=$?
	trap - EXIT
	for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
	[ ! -x "$tools/testbed" ] || "$tools/testbed" down --dir "$bed" || status=1
	for pid in "${started[@]}"; do wait "$pid" 2>/dev/null || true; done
	rm -rf "$work"
	if [ "$status" = 0 ]; then printf '\nThe story is true.\n'; else printf '\nThe story failed; see the last step above.\n' >&2; fi
	exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

chapter() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }

# run CODE COMMAND…: shows the command and its output, and wants that exit code.
run() {
	local want=$1 got=0
	shift
	printf '\n$ %s\n' "$*"
	"$@" || got=$?
	[ "$got" = "$want" ] || fail "exit code $got, and the story wants $want"
}

# wait_for FILE PID: until the program with that pid has made the file.
wait_for() {
	for _ in $(seq 200); do
		[ ! -e "$1" ] || return 0
		kill -0 "$2" 2>/dev/null || fail "$1 did not come: the program behind it ended"
		sleep 0.1
	done
	fail "$1 did not come within 20 s"
}

containers() { docker ps --all --quiet --no-trunc | wc -l; }

# refused [OPTION…] IMAGE: docker run must fail, by the plugin, and leave no container.
refused() {
	local before after output
	before=$(containers)
	printf '\n$ docker run --rm --network none %s\n' "$*"
	if output=$(docker run --rm --network none "$@" 2>&1); then fail "it ran"; fi
	printf '%s\n' "$output"
	grep -q 'denied by plugin docker-stig-authz' <<<"$output" || fail "something else than the plugin refused it"
	after=$(containers)
	[ "$before" = "$after" ] || fail "a container was left behind"
}

chapter "A real engine, registry and Notary server"
mkdir "$tools"
go build -o "$tools/" ./tests/testbed/cmd/testbed ./tests/doubles/cmd/doubles
run 0 "$tools/testbed" up --dir "$bed"
. "$bed/env"
PATH=$tools:$PATH
ln -s "$STIG_DOCKER" "$tools/docker"
mkdir -p "$DOCKER_CONFIG/cli-plugins"
cp bin/docker-stig "$DOCKER_CONFIG/cli-plugins/"
run 0 docker stig version
app=$STIG_REGISTRY/prod/app

chapter "Three images: one signed with docker trust, one unsigned, one signed and then pushed over"
run 0 testbed sign prod/app:1 prod/app:moved
run 0 testbed unsigned prod/app:unsigned
run 0 testbed move prod/app:moved

chapter "A policy that trusts the root key of prod/app, and what it says of each image"
run 0 testbed pin prod/app
run 0 cat "$STIG_POLICY"
run 0 docker stig trust verify "$app:1"
run 2 docker stig trust verify "$app:unsigned" "$app:moved"

chapter "Before the plugin, the engine runs anything"
run 0 docker run --rm --network none "$app:unsigned"

chapter "The engine asks docker-stig-authz from now on"
bin/docker-stig-authz serve --policy "$STIG_POLICY" --socket "$STIG_PLUGIN_SOCKETS/docker-stig-authz.sock" \
	--state "$STIG_STATE" --log-file "$work/decisions.log" 2>"$work/authz.log" &
started+=($!)
wait_for "$STIG_PLUGIN_SOCKETS/docker-stig-authz.sock" $!
run 2 docker stig authz status
run 0 docker stig authz enable --yes --confirm-within 0

chapter "What is signed runs, and can be pulled by docker run alone"
run 0 docker run --rm --network none "$app:1"
run 0 docker image rm "$app:1"
run 0 docker run --rm --network none "$app:1"

chapter "What is not signed does not: by tag, under a signed tag that was moved, by image ID"
refused "$app:unsigned"
refused "$app:moved"
refused "$(docker image inspect --format '{{.Id}}' "$app:unsigned")"

chapter "Nor is a signed image given its host"
refused --volume /:/host "$app:1"

chapter "Unless somebody signs it: no image is pulled for that"
run 0 docker stig trust sign --yes "$app:unsigned"
run 0 docker stig trust verify "$app:unsigned"

chapter "What was decided"
run 0 docker stig authz status
run 0 docker stig authz log --file "$work/decisions.log"

chapter "UCP does not enforce content trust yet (a double of UCP plays it)"
mkdir "$work/doubles"
doubles --dir "$work/doubles" 2>"$work/doubles.log" &
started+=($!)
wait_for "$work/doubles/doubles.env" $!
. "$work/doubles/doubles.env"
printf 'ucp:\n  require-signature-from: [ops/release]\n' >"$work/site.yaml"
export STIG_SITE=$work/site.yaml
run 2 docker stig check V-235847
run 0 docker stig fix V-235847 --yes
run 0 docker stig check V-235847

chapter "What was fixed can be taken back"
run 0 docker stig history
run 0 docker stig undo --yes
run 2 docker stig check V-235847

chapter "And the engine's own package"
run 2 docker stig check V-235788
