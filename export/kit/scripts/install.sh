#!/bin/sh
# Installs this kit into a folder of its own, or removes it from there. Touches nothing else, needs
# no network and no rights. Every file is compared with SHA256SUMS before anything is installed.
set -eu

usage='usage: ./install.sh [--python PROGRAM] [--trust KEY] [FOLDER]    install into FOLDER
       ./install.sh --remove FOLDER                             remove what was installed there'
mark=.refact-edge-kit

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

kit=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
python='' trust='' remove='' folder=''
while [ $# -gt 0 ]; do
    case $1 in
    --python | --trust | --remove)
        [ $# -gt 1 ] || fail "$1 wants a value"
        case $1 in
        --python) python=$2 ;;
        --trust) trust=$2 ;;
        --remove) remove=$2 ;;
        esac
        shift 2
        ;;
    -h | --help)
        printf '%s\n' "$usage"
        exit 0
        ;;
    -*) fail "unknown option $1; see --help" ;;
    *)
        [ -z "$folder" ] || fail "two folders, $folder and $1; expected one"
        folder=$1
        shift
        ;;
    esac
done

if [ -n "$remove" ]; then
    [ -f "$remove/$mark" ] || fail "$remove was not installed by this kit; nothing is removed"
    rm -rf -- "$remove"
    printf 'removed %s\n' "$remove"
    exit 0
fi

folder=${folder:-$HOME/refact-edge}
[ ! -e "$folder" ] || fail "$folder exists; name another folder, or --remove it first"

cd -- "$kit"
if command -v sha256sum >/dev/null; then
    sums='sha256sum -c'
elif command -v shasum >/dev/null; then
    sums='shasum -a 256 -c'
else
    fail 'neither sha256sum nor shasum is here, so the files cannot be checked'
fi
# Its lines are "name: OK" or "name: FAILED"; a line that is none of a sum is told on standard error.
if ! checked=$(LC_ALL=C $sums SHA256SUMS 2>&1); then
    fail "the kit is damaged: $(printf '%s\n' "$checked" | grep -v ': OK$' | head -n 1)"
fi
listed=$(wc -l <SHA256SUMS)
[ "$(printf '%s\n' "$checked" | grep -c ': OK$')" -eq "$listed" ] ||
    fail 'the kit is damaged: SHA256SUMS has lines that are no sums'

case $(uname -s) in
Linux) system=linux ;;
Darwin) system=macos ;;
*) fail "$(uname -s) is not among this kit's systems" ;;
esac
[ "$system" = macos ] || ! (ldd --version 2>&1 || :) | grep -qi musl || system=musl
machine=$(uname -m)
case $system-$machine in
macos-aarch64) machine=arm64 ;;
linux-arm64 | musl-arm64) machine=aarch64 ;;
esac
target=$system-$machine
[ -f "requirements/$target.txt" ] ||
    fail "this is $target; the kit is for: $(ls requirements | sed 's/\.txt$//' | tr '\n' ' ')"

version=$(cat python-version)
python=${python:-python$version}
command -v "$python" >/dev/null || python=python3
command -v "$python" >/dev/null || fail "there is no Python; expected $version: --python names one"
found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
program=$("$python" -c 'import sys; print(sys.executable)')
[ "$found" = "$version" ] || fail "$python is $found; expected Python $version: --python names it"

trap 'rm -rf -- "$folder"' EXIT
trap 'exit 1' INT TERM HUP
TMPDIR=$folder/tmp
export TMPDIR
"$program" -I -c 'import os, sys; os.makedirs(sys.argv[1])' "$TMPDIR"
# Without PATH, as pip looks there for compilers and runs them, to tell an index of them.
PATH='' "$program" -I -m venv -- "$folder" || fail "$python cannot make a virtual environment (Debian: python3-venv)"
PATH='' "$folder/bin/python" -I -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
    --no-cache-dir --require-hashes --find-links "wheels/$target" -r "requirements/$target.txt" ||
    fail 'pip did not install the wheels; see above'
# What installs is no part of what runs.
PATH='' "$folder/bin/python" -I -m pip uninstall --quiet --yes --disable-pip-version-check setuptools pip 2>/dev/null
rm -rf -- "$TMPDIR"
# What is listed, and nothing that somebody has put beside it.
sed 's/^[0-9a-f]*  //' SHA256SUMS | grep -E '^(bundles|licenses)/' | while IFS= read -r name; do
    mkdir -p -- "$folder/$(dirname -- "$name")"
    cp -- "$name" "$folder/$name"
done
# Which doctor compares with what is there.
cp "requirements/$target.txt" "$folder/$mark"
if [ -n "$trust" ]; then
    for bundle in "$folder"/bundles/*/; do
        "$folder/bin/refact-edge" verify-signature "${bundle%/}" --trust "$trust" || exit 1
    done
fi
trap - EXIT
printf 'installed into %s\n' "$folder"
for bundle in "$folder"/bundles/*/; do
    printf "try: '%s' complete --bundle '%s' --prefix 'def add(a, b):' --suffix ''\n" \
        "$folder/bin/refact-edge" "${bundle%/}"
done
