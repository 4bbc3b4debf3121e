#!/usr/bin/env bash
# Ends with 2 and one sentence where a folder's disk has less than so many GB free.
#
#     scripts/need_room.sh FOLDER GB VARIABLE
#
# The folder need not be there yet. VARIABLE is the one that puts it on another disk.
set -euo pipefail

folder=$1 wanted=$2 variable=$3
there=$folder
while [[ ! -e $there ]]; do there=$(dirname "$there"); done
free=$(df -Pk "$there" | awk 'NR == 2 { printf "%d", $4 / 1048576 }')
if ((free < wanted)); then
    {
        echo "$folder needs $wanted GB of disk, and $free GB are free where it would be."
        echo "Make room, or put it on another disk: $variable=/path/on/it"
    } >&2
    exit 2
fi
