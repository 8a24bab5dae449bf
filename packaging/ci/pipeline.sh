#!/usr/bin/env bash
# From a changed policy to gateways that serve it:
#
#   check → test → diff against what is live → build → collect signatures → point → status
#
#   pipeline.sh                     all stages, one after the other; stops at the first that fails
#   pipeline.sh STAGE…              these stages alone: check test diff build sign point status
#   pipeline.sh rollback [DIGEST]   a new pointer at the release before (or at DIGEST), then status
#
# Ends with 0 when all is done, 1 when a stage failed, 2 when it was called wrongly, and 3 when signatures are missing
# and nothing else is wrong: the release is then in $OUT, and nothing that gateways read was touched. Gather the
# signatures, then run `pipeline.sh sign point status`; with `build` in between, the release could be another one.
#
# Whoever can write to the store is believed nothing: what the channel runs, and which versions are used, is read by
# `adamant point live` and counts by its signatures under TRUST_ROOT; a release is read by its digest. What he can do is
# put an older pointer back that was good once (see SERIAL_MIN), or take files away, which makes any change a wider one.
#
# Agents that enroll by the channel need a profile document for each release, which people sign beside it: `adamant profile
# issue` (docs/pipeline.md). Without one new agents cannot enroll, and `point` warns.
#
# What it works with comes from the environment:
#
#   POLICY            the policy source                                          policy.toml
#   STORE             the store: a directory that gateways read, or a checkout   (needed from diff on)
#   CHANNEL           the channel to point                                       production
#   NEW_CHANNEL       yes: it is meant, though new and named nearly as another   no
#                     channel of the store; needed until it is pointed
#   TRUST_ROOT        the trust root that was placed on the gateways             (needed from diff on)
#   OUT               where the release and the reports are written              build
#   VERSION           number of the release                                      one above the highest that enough signed
#   EXPIRES           when the release may no longer be activated                90 days after the commit, at midnight UTC
#                                                                                (needed for build outside of git)
#   POINTER_FOR       how long the pointer holds; renew it before                30d
#   RELEASE_KEYS      key files, or transit:… keys, that this job signs with;    (none)
#                     blanks between them
#   POINTER_KEYS      the same, for the pointer                                  (needed for point and rollback)
#   PASSPHRASE_FILE   a file with the passphrase of the key files                (none)
#   SIGNATURES        a directory of detached signatures (*.sig) of others       signatures
#   BUILDER           who builds, as its provenance says (signed with RELEASE_KEYS)   pipeline.sh
#   MIN_COVERAGE      percent of the policy that the test cases must touch       0
#   ALLOW_WIDER       no: stop at a change that is not proven narrower, also     yes
#                     where there is nothing that it could be narrower than
#   SERIAL_MIN        stop at a pointer with a lower serial: an old one was put  0
#                     back. `adamant status` tells what gateways have seen
#   PUBLISH           a command that carries STORE to the gateways after a       (none)
#                     pointer was made, such as packaging/ci/publish-rsync.sh
#   GATEWAYS          gateways to ask, blanks between them; or a file of them    (none: status says so and ends)
#   GATEWAYS_FILE
#   NODE_KEYS         a file of pinned node keys                                 (none: answers may be anybody's)
#   FLEET_CA, FLEET_CERT, FLEET_KEY    for https:// gateways                     (none)
#   WAIT_S            how long gateways may take to serve what is pointed at     60
#   ADAMANT           the binary                                                 adamant
#
# Secrets are never arguments: keys are names of files or of keys in OpenBao or Vault, whose token is read from
# BAO_TOKEN or VAULT_TOKEN by adamant itself.
set -euo pipefail

ADAMANT=${ADAMANT:-adamant}
POLICY=${POLICY:-policy.toml}
CHANNEL=${CHANNEL:-production}
NEW_CHANNEL=${NEW_CHANNEL:-no}
NEW=()
[ "$NEW_CHANNEL" != yes ] || NEW=(--new-channel)
OUT=${OUT:-build}
SIGNATURES=${SIGNATURES:-signatures}
POINTER_FOR=${POINTER_FOR:-30d}
MIN_COVERAGE=${MIN_COVERAGE:-0}
BUILDER=${BUILDER:-pipeline.sh}
ALLOW_WIDER=${ALLOW_WIDER:-yes}
SERIAL_MIN=${SERIAL_MIN:-0}
WAIT_S=${WAIT_S:-60}

RELEASE=$OUT/release.json
PROVENANCE=$OUT/provenance.json
MISSING_SIGNATURES=3
NOTHING_LIVE=4

say() { printf '\n== %s\n' "$*"; }
fail() { printf 'pipeline: %s\n' "$*" >&2; exit 1; }
misused() { printf 'pipeline: %s\n' "$*" >&2; exit 2; }
needs() { [ -n "${!1:-}" ] || misused "$1 is not set: $2"; }

# A store that is not there is a mistake: nobody shall take it for one that nothing was published to yet.
needs_store() {
  needs STORE 'the store, a directory'
  [ -d "$STORE" ] || fail "STORE names no directory: $STORE"
}

needs_trust_root() {
  needs TRUST_ROOT 'the trust root that was placed on the gateways'
  [ -f "$TRUST_ROOT" ] || fail "TRUST_ROOT names no file: $TRUST_ROOT"
}

# What gateways of the channel can be taken to run, by signatures alone: LIVE, its digest, empty where there is nothing,
# and LIVE_VERSION. NEXT_VERSION is the one to build next.
read_live() {
  local shown found=0 serial
  needs_store
  needs_trust_root
  shown=$("$ADAMANT" point live --store "$STORE" --channel "$CHANNEL" --trust-root "$TRUST_ROOT" "${NEW[@]}") || found=$?
  fact() { awk -v name="$1" '$1 == name { print $2 }' <<<"$shown"; }
  case $found in
    0)
      LIVE=$(fact release) LIVE_VERSION=$(fact version)
      # One before what the channel points at: somebody may have taken the signatures of that one away, so as to choose
      # what a change is compared with.
      if [ "$LIVE" != "$(fact points)" ] && [ "$ALLOW_WIDER" != yes ]; then
        fail "channel $CHANNEL points at a release that lacks signatures: it is not known what gateways run, and ALLOW_WIDER is not yes"
      fi
      ;;
    "$NOTHING_LIVE") LIVE='' LIVE_VERSION=0 ;;
    *) fail "what channel $CHANNEL runs cannot be verified" ;;
  esac
  NEXT_VERSION=$(fact next)
  serial=$(fact serial)
  [ "${serial:-0}" -ge "$SERIAL_MIN" ] ||
    fail "the pointer of channel $CHANNEL has serial ${serial:-0}, and SERIAL_MIN is $SERIAL_MIN: an older one was put back"
}

# Compares what is live with a policy or release, and writes who must sign into $OUT/role. Stops at what ALLOW_WIDER does
# not allow: with nothing to compare with, everything is newly allowed. Further arguments go to what reviewers read.
compare() {
  local new=$1 verdict=0 role=release-wider
  mkdir -p "$OUT"
  rm -f "$OUT/role" "$OUT/diff.txt" "$OUT/diff.json"
  read_live
  if [ -z "$LIVE" ]; then
    say "diff: nothing to compare with that gateways of channel $CHANNEL took: it counts as wider"
  else
    say "diff $LIVE (live) $new"
    # By its digest, which is checked: the file could be any.
    "$ADAMANT" diff "$LIVE" "$new" --store "$STORE" "${@:2}" >"$OUT/diff.txt" || verdict=$?
    cat "$OUT/diff.txt"
    # 0: the same, 10: narrower, 11: wider, 12: both.
    case $verdict in 0 | 10 | 11 | 12) ;; *) fail "the change could not be compared with what is live" ;; esac
    # Not the verdict alone decides who must sign: another origin or issuer needs the wider role as well.
    "$ADAMANT" diff "$LIVE" "$new" --store "$STORE" --format json >"$OUT/diff.json" || true
    role=$(sed -n 's/^  "role": "\(release-[a-z]*\)".*/\1/p' "$OUT/diff.json")
  fi
  [ "$role" = release-narrower ] || role=release-wider
  echo "$role" >"$OUT/role"
  if [ "$role" != release-narrower ] && [ "$ALLOW_WIDER" != yes ]; then
    fail "the change is not proven narrower than what is live, and ALLOW_WIDER is not yes"
  fi
}

# 90 days after the commit that is checked out, so that the same commit gives the same release on any day.
expiry_of_commit() {
  local seconds
  seconds=$(git log -1 --format=%ct 2>/dev/null) ||
    misused 'EXPIRES is not set, and this is no git commit whose date it could be counted from'
  date -u -d "@$((seconds + 90 * 86400))" +%Y-%m-%dT00:00:00Z
}

stage_check() {
  say "check $POLICY"
  "$ADAMANT" check "$POLICY"
}

stage_test() {
  say "test $POLICY"
  mkdir -p "$OUT"
  "$ADAMANT" test "$POLICY" --require-coverage "$MIN_COVERAGE" --format junit --out "$OUT/test.xml"
}

# Says what changes, and who signed what is live. Whoever reviews reads this, and gateways come to the same verdict by
# themselves.
stage_diff() { compare "$POLICY" --trust-root "$TRUST_ROOT"; }

# Where this job has a key, it also states where the release comes from.
stage_build() {
  local key parent=() keys=() version=${VERSION:-} expires=${EXPIRES:-}
  mkdir -p "$OUT"
  read_live
  [ -n "$version" ] || version=$NEXT_VERSION
  if [ -n "$LIVE" ]; then
    parent=(--parent "$LIVE")
    [ "$version" -gt "$LIVE_VERSION" ] || fail "VERSION is $version, and channel $CHANNEL runs version $LIVE_VERSION: count on"
  fi
  [ -n "$expires" ] || expires=$(expiry_of_commit)
  say "build version $version, until $expires"
  "$ADAMANT" release build "$POLICY" --version "$version" --expires "$expires" "${parent[@]}" --out "$RELEASE" --force |
    tee "$OUT/build.txt"
  rm -f "$PROVENANCE"
  for key in ${RELEASE_KEYS:-}; do keys+=(--key "$key"); done
  if [ ${#keys[@]} -gt 0 ]; then
    [ -z "${PASSPHRASE_FILE:-}" ] || keys+=(--passphrase-file "$PASSPHRASE_FILE")
    "$ADAMANT" release provenance "$RELEASE" --source "$POLICY" --builder "$BUILDER" --out "$PROVENANCE" "${keys[@]}"
  fi
}

# Signs with the keys of this job, takes in the signatures of others, and says which are missing.
stage_sign() {
  local key role passphrase=() provenance=() file from=() verified=0
  needs_trust_root
  [ -f "$RELEASE" ] || fail "$RELEASE is not there: run the build stage first"
  [ -z "${PASSPHRASE_FILE:-}" ] || passphrase=(--passphrase-file "$PASSPHRASE_FILE")
  say "signatures for $RELEASE"
  for key in ${RELEASE_KEYS:-}; do
    "$ADAMANT" release sign "$RELEASE" --key "$key" "${passphrase[@]}"
  done
  for file in "$SIGNATURES"/*.sig; do
    [ -e "$file" ] || continue
    # Signatures of other releases may lie there as well.
    if said=$("$ADAMANT" release merge "$RELEASE" "$file" 2>&1); then
      printf '%s\n' "$said"
    elif [[ $said == *'it was made for another release'* ]]; then
      echo "  $file is for another release"
    else
      printf '%s\n  %s was not taken\n' "$said" "$file" >&2
    fi
  done
  # Without a diff stage the stricter role is asked for.
  role=$(cat "$OUT/role" 2>/dev/null || true)
  [ "$role" = release-narrower ] || role=release-wider
  [ ! -f "$PROVENANCE" ] || provenance=(--provenance "$PROVENANCE")
  # By the newest trust root that the store leads to, as gateways do.
  if [ -n "${STORE:-}" ]; then
    needs_store
    from=(--store "$STORE")
  fi
  "$ADAMANT" release verify "$RELEASE" --trust-root "$TRUST_ROOT" "${from[@]}" --role "$role" "${provenance[@]}" || verified=$?
  # 3: nothing but signatures is missing.
  case $verified in 0 | 3) ;; *) fail "$RELEASE cannot be verified" ;; esac
  if [ "$verified" -eq 3 ]; then
    cat >&2 <<TEXT
pipeline: signatures are missing: this change needs the role $role. Nothing was pointed at it.
  Each signer runs:        adamant release sign release.json --key KEY --detached -o NAME.sig
  Put the files into:      $SIGNATURES
  Then go on with:         pipeline.sh sign point status
TEXT
    exit "$MISSING_SIGNATURES"
  fi
}

# `adamant point` itself checks the thresholds again, against its own diff, and publishes nothing that lacks signatures;
# so does every gateway. What is live may be another release than when the diff was made: who may not widen compares
# with that one.
stage_point() {
  local provenance=()
  needs_store
  needs_trust_root
  [ "$ALLOW_WIDER" = yes ] || compare "$RELEASE"
  say "point $CHANNEL at $RELEASE"
  [ ! -f "$PROVENANCE" ] || provenance=(--provenance "$PROVENANCE")
  pointer_made point --release "$RELEASE" "${provenance[@]}" "${NEW[@]}"
}

stage_rollback() {
  needs_store
  needs_trust_root
  say "roll $CHANNEL back to ${1:-previous}"
  pointer_made rollback --to "${1:-previous}"
}

pointer_made() {
  local key keys=()
  needs POINTER_KEYS 'key files or transit:… keys of the pointer role'
  for key in $POINTER_KEYS; do keys+=(--key "$key"); done
  [ -z "${PASSPHRASE_FILE:-}" ] || keys+=(--passphrase-file "$PASSPHRASE_FILE")
  "$ADAMANT" "$1" --store "$STORE" --channel "$CHANNEL" --trust-root "$TRUST_ROOT" "${@:2}" --for "$POINTER_FOR" \
    "${keys[@]}"
  if [ -n "${PUBLISH:-}" ]; then
    say "publish: $PUBLISH"
    STORE=$STORE CHANNEL=$CHANNEL sh -c "$PUBLISH"
  fi
}

# Waits until every gateway serves what the store says, or tells which does not.
stage_status() {
  local gateway ask=() deadline
  for gateway in ${GATEWAYS:-}; do ask+=("$gateway"); done
  [ -z "${GATEWAYS_FILE:-}" ] || ask+=(--hosts "$GATEWAYS_FILE")
  if [ ${#ask[@]} -eq 0 ]; then
    say 'status: no GATEWAYS to ask'
    return
  fi
  needs_store
  needs_trust_root
  [ -z "${NODE_KEYS:-}" ] || ask+=(--node-keys "$NODE_KEYS")
  if [ -n "${FLEET_CA:-}${FLEET_CERT:-}${FLEET_KEY:-}" ]; then
    for name in FLEET_CA FLEET_CERT FLEET_KEY; do
      needs "$name" 'https:// gateways are asked with all three: FLEET_CA, FLEET_CERT and FLEET_KEY'
    done
    ask+=(--ca "$FLEET_CA" --cert "$FLEET_CERT" --key "$FLEET_KEY")
  fi
  ask+=(--store "$STORE" --channel "$CHANNEL" --trust-root "$TRUST_ROOT")
  say "status: at most $WAIT_S s until all serve what $CHANNEL runs"
  deadline=$((SECONDS + WAIT_S))
  until "$ADAMANT" status "${ask[@]}" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || break
    sleep 1
  done
  # Once more, for all to read; its outcome counts.
  "$ADAMANT" status "${ask[@]}"
}

main() {
  local stage
  command -v "$ADAMANT" >/dev/null || misused "$ADAMANT is not there: put adamant into PATH, or name it in ADAMANT"
  if [ "${1:-}" = rollback ]; then
    [ $# -le 2 ] || misused 'rollback takes one digest at most'
    stage_rollback "${2:-}"
    stage_status
    return
  fi
  [ $# -gt 0 ] || set -- check test diff build sign point status
  for stage in "$@"; do
    case $stage in
      check | test | diff | build | sign | point | status) ;;
      *) misused "no stage $stage: check test diff build sign point status, or rollback" ;;
    esac
  done
  for stage in "$@"; do "stage_$stage"; done
}

main "$@"
