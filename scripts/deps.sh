#!/usr/bin/env bash
# Installs what building and testing need, or says what is missing and what to type.
#
#   scripts/deps.sh [build|kcat|java|node]...     default: all but node
#
#   build   make, git and a C compiler (the race detector links with one)
#   kcat    the librdkafka client of the integration tests, and strace, with which
#           they make system calls fail
#   java    a JDK and Maven, and Apache Kafka's own jars, for tests with the Java
#           clients and Kafka Streams and for the comparison with Apache Kafka
#   node    Node.js and npm, for the comparison with Kinesis emulators
#
# Only Go itself must be there before. On Debian and Ubuntu, as root or with a
# sudo that asks nothing, the rest is installed; elsewhere it is named.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
java_wanted=17 # what Apache Kafka 4 needs at least

have() { command -v "$1" >/dev/null 2>&1; }

# java_major prints the major version of the java on the PATH, 0 without one.
# macOS ships a java that only says where to get one, so its output counts.
java_major() {
  local major
  major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || true
  echo "${major:-0}"
}

check_go() {
  local wanted
  wanted=$(sed -n 's/^go \([0-9.]*\)$/\1/p' "$root/go.mod")
  if ! have go; then
    echo "deps: Go is missing. Install Go $wanted or newer from https://go.dev/dl/ and put it on the PATH." >&2
    exit 1
  fi
}

# missing_packages prints one line for each thing that is not there:
# Debian's package names, Homebrew's names, and what it is.
missing_packages() {
  local part
  for part in "$@"; do
    case $part in
      build)
        have make || echo "make|make|make"
        have git || echo "git|git|git"
        have "$(go env CC)" || echo "gcc libc6-dev|gcc|a C compiler"
        ;;
      kcat)
        have kcat || echo "kcat|kcat|kcat"
        # Makes an fsync of the server fail, for a test; only Linux has it.
        [ "$(uname)" != Linux ] || have strace || echo "strace|strace|strace"
        ;;
      java)
        { [ "$(java_major)" -ge "$java_wanted" ] && have javac; } ||
          echo "default-jdk-headless|openjdk|a JDK (java and javac), version $java_wanted or newer"
        have mvn || echo "maven|maven|Maven"
        ;;
      node)
        have node || echo "nodejs|node|Node.js"
        have npm || echo "npm|node|npm"
        ;;
      *)
        echo "deps: unknown part \"$part\"; known are build, kcat, java and node" >&2
        return 2
        ;;
    esac
  done
}

# packages_of prints one field of what missing_packages said, in one line.
packages_of() { cut -d'|' -f"$2" <<<"$1" | tr '\n' ' ' | sed 's/ $//'; }

# tell_and_fail names what is missing and the command that installs it.
tell_and_fail() {
  local missing=$1 why=$2
  {
    echo "deps: $why. Missing:"
    cut -d'|' -f3 <<<"$missing" | sed 's/^/  - /'
    if have apt-get; then
      echo "Type: sudo apt-get update && sudo apt-get install -y --no-install-recommends $(packages_of "$missing" 1)"
    elif have brew; then
      echo "Type: brew install $(packages_of "$missing" 2)"
      if grep -q openjdk <<<"$missing"; then
        # Homebrew keeps its JDK off the PATH.
        echo "Then: export PATH=\"\$(brew --prefix openjdk)/bin:\$PATH\""
      fi
    else
      echo "Install them with your system's package manager and run this again."
    fi
  } >&2
  exit 1
}

install_missing() {
  local missing=$1 as_root=() packages
  if ! have apt-get; then
    tell_and_fail "$missing" "this machine's package manager is not apt-get, so nothing was installed"
  fi
  if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo || ! sudo -n true 2>/dev/null; then
      tell_and_fail "$missing" "installing needs root, and sudo without a password is not available"
    fi
    as_root=(sudo -n)
  fi
  read -ra packages <<<"$(packages_of "$missing" 1)"
  echo "deps: installing ${packages[*]}"
  # A machine image's package lists may be old or absent, so try an update first;
  # where it fails (one dead mirror among many) the install itself decides.
  "${as_root[@]}" apt-get update -qq || echo "deps: apt-get update failed; trying with the lists that are there" >&2
  if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${packages[@]}"; then
    tell_and_fail "$missing" "apt-get could not install them (its own words are above)"
  fi
}

main() {
  local parts=("$@") missing
  [ ${#parts[@]} -gt 0 ] || parts=(build kcat java)
  check_go
  missing=$(missing_packages "${parts[@]}")
  if [ -n "$missing" ]; then
    install_missing "$missing"
    missing=$(missing_packages "${parts[@]}")
    [ -z "$missing" ] || tell_and_fail "$missing" "installed, and yet not found on the PATH"
  fi
  case " ${parts[*]} " in
    *" java "*) "$here/apache-kafka/kafka" fetch ;;
  esac
}

main "$@"
