#!/bin/sh
# A test that is run to its end: the candidate, asked at its own address, says the version that is to be promoted.
answer=$(curl -sS --max-time 5 "http://$GAPLESS_CANDIDATE_ADDRESS/") || exit 1
case $answer in
*"$GAPLESS_CANDIDATE"*) ;;
*) echo "asked for $GAPLESS_CANDIDATE, and it says: $answer" >&2; exit 1 ;;
esac
