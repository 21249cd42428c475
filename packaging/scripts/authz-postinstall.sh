#!/bin/sh
# After unpacking: dpkg says "configure", and the version it replaces if there
# was one; rpm says 1 when it installs and 2 when it upgrades.
set -e

socket=docker-stig-authz.socket
service=docker-stig-authz.service

case "$1" in
configure) if [ -n "$2" ]; then act=upgrade; else act=install; fi ;;
1) act=install ;;
2) act=upgrade ;;
*) exit 0 ;; # dpkg undoes something; nothing was stopped for it
esac

# An image of a machine may be built without systemd at hand.
command -v systemctl >/dev/null 2>&1 || exit 0

# Only a first installation enables the socket: whoever disabled it since meant
# that. The socket alone does nothing; the engine asks once daemon.json says so.
if [ "$act" = install ]; then
	systemctl enable --quiet "$socket" || echo "docker-stig-authz: could not enable $socket: run systemctl enable $socket" >&2
fi

# Below is for a system that systemd runs, not for a chroot or a container.
[ -d /run/systemd/system ] || exit 0

systemctl daemon-reload || true
if [ "$act" = install ]; then
	systemctl start "$socket" || echo "docker-stig-authz: could not start $socket: see systemctl status $socket" >&2
	exit 0
fi

# The guard is left running as it is: to restart it would cut every stream
# through the engine's socket. That is for a quiet hour.
if systemctl is-active --quiet docker-stig-guard.service; then
	echo "docker-stig-authz: the guard still runs the version before: systemctl restart docker-stig-guard ends all attached sessions and builds, and puts the new one in place" >&2
fi

# systemd keeps the socket open while the new program takes over, so the
# engine's questions wait and none is refused.
systemctl try-restart "$service" || echo "docker-stig-authz: the new version did not start: see journalctl -u $service" >&2
