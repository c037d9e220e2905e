#!/usr/bin/env bash
# Builds a release, copies it to the hosts of a list, and switches them over one by one.
set -euo pipefail

usage() {
    echo "usage: $0 [-n] HOSTS_FILE VERSION" >&2
    exit 2
}

dry_run=false
while getopts "nh" option; do
    case "$option" in
        n) dry_run=true ;;
        *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -eq 2 ] || usage

hosts_file=$1
version=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run() {
    if "$dry_run"; then
        printf 'would run:'
        printf ' %q' "$@"
        printf '\n'
    else
        "$@"
    fi
}

git archive --format=tar "v$version" | gzip > "$work/release-$version.tar.gz"
sha256sum "$work/release-$version.tar.gz" | cut -d' ' -f1 > "$work/release-$version.sha256"

failed=()
while read -r host _; do
    if [[ -z "$host" || "$host" == \#* ]]; then
        continue
    fi
    echo "== $host"
    if ! run scp -q "$work"/release-"$version".* "$host:/srv/releases/"; then
        failed+=("$host")
        continue
    fi
    run ssh "$host" "ln -sfn /srv/releases/$version /srv/current && systemctl reload app"
done < "$hosts_file"

if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
