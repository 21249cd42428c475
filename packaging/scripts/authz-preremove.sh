#!/bin/sh
# Before removal: dpkg says "remove" or "deconfigure", and "upgrade" when a new
# version takes over; rpm says 0 when the last version goes, else 1.
#
# An engine that is told to ask this plugin refuses every request without it,
# and does not start again. So the plugin stays while an engine is told so, and
# the guard while the engine's public socket is the guard's.
set -e

plugin=docker-stig-authz
newline='
'
guarded=/etc/systemd/system/docker.socket.d/zz-docker-stig-guard.conf

case "$1" in
remove | deconfigure | 0) ;;
*) exit 0 ;; # an upgrade: the socket stays, and the new version answers on it
esac

# uses_plugin prints where an engine is told to ask the plugin: in the
# configuration file of the usual place, on the command line of an engine that
# runs or that its service is to start, or in a configuration file named there.
uses_plugin() {
	names_plugin /etc/docker/daemon.json
	for pid in /proc/[0-9]*; do
		[ "$(cat "$pid/comm" 2>/dev/null)" = dockerd ] || continue
		line=$(tr '\000' ' ' <"$pid/cmdline" 2>/dev/null) || continue
		told "the command line of dockerd (process ${pid#/proc/})" "$line"
	done
	# An engine that is stopped: its service, what was added to that, and the
	# options that packages pass on.
	for file in /etc/systemd/system/docker.service /etc/systemd/system/docker.service.d/*.conf \
		/usr/lib/systemd/system/docker.service /usr/lib/systemd/system/docker.service.d/*.conf \
		/lib/systemd/system/docker.service /etc/default/docker /etc/sysconfig/docker; do
		[ -f "$file" ] || continue
		told "$file" "$(grep -v '^[[:space:]]*[#;]' "$file" | tr -d '"'"'")"
	done
}

# told looks into a command line: $1 is where it stands.
told() {
	words=$(printf '%s\n' "$2" | tr -s ' \t\\' '\n')
	case "$words" in
	*--authorization-plugin[=$newline]*"$plugin"*) echo "$1" ;;
	esac
	printf '%s\n' "$words" | sed -n -e '/--config-file$/{' -e n -e p -e '}' -e 's/.*--config-file=//p' |
		while read -r named; do
			case "$named" in
			'' | /etc/docker/daemon.json) ;;
			/*) names_plugin "$named" ;;
			esac
		done
}

names_plugin() {
	if grep -qs "\"$plugin\"" "$1"; then echo "$1"; fi
}

where=$(uses_plugin)
if [ -n "$where" ]; then
	cat >&2 <<TEXT
docker-stig-authz is not removed: an engine on this host asks it before every
request, and would refuse them all without it. It is named in:
$(echo "$where" | sed 's/^/    /')
Take "$plugin" out of "authorization-plugins" there, let the engine read that
(systemctl reload docker), and remove the package again.
TEXT
	exit 1
fi

if [ -e "$guarded" ]; then
	cat >&2 <<TEXT
docker-stig-authz is not removed: its guard holds the public socket of the
engine, and nobody would reach the engine without it. Run
docker stig authz disable
which gives the engine its socket back ($guarded says
where it listens now), and remove the package again.
TEXT
	exit 1
fi

command -v systemctl >/dev/null 2>&1 || exit 0
systemctl disable --quiet docker-stig-authz.socket || true
[ -d /run/systemd/system ] || exit 0
systemctl stop docker-stig-authz.socket docker-stig-authz.service || true
