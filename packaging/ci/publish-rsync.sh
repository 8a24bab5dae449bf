#!/usr/bin/env bash
# Carries a store to the gateways: PUBLISH=packaging/ci/publish-rsync.sh of pipeline.sh.
#
#   STORE           the store here (pipeline.sh sets it)
#   PUBLISH_TO      where it goes, blanks between: deploy@gw1:/srv/adamant deploy@gw2:/srv/adamant
#
# Roots first, then releases, then pointers: whoever reads a pointer finds what it names. Each file is put in place
# whole (rsync writes a temporary file and renames it). Nothing is deleted there.
set -euo pipefail

: "${STORE:?the store, a directory}" "${PUBLISH_TO:?where the store goes, such as deploy@gw1:/srv/adamant}"
for to in $PUBLISH_TO; do
  for part in roots releases channels; do
    if [ -d "$STORE/$part" ]; then
      rsync --recursive --times --chmod=D755,F644 "$STORE/$part" "$to/"
    fi
  done
done
