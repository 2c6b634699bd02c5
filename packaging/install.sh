#!/bin/sh
# Installs what lies beside this script: programs, completions, manual pages, examples.
#   ./install.sh [PREFIX]     default: /usr/local for root, ~/.local for others
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" = 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
prefix=${1:-$prefix}
mkdir -p "$prefix"
cp -R "$here/bin" "$here/share" "$prefix/"
echo "installed in $prefix: $("$prefix/bin/batchproxy" --version)"
case ":$PATH:" in
  *":$prefix/bin:"*) ;;
  *) echo "$prefix/bin is not in your PATH: export PATH=\"$prefix/bin:\$PATH\"" ;;
esac
