#!/usr/bin/env bash
# Build the image of Dockerfile and use it as docs/how-to/container.md says: read-only, by a user without a
# name, without a network. ENGINE=podman for another one; IMAGE names what is built; BUILT=1 takes what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${ENGINE:-docker} image=${IMAGE:-gliomaseg-test}
read -ra build <<<"${BUILD_OPTIONS:-}" # further ones for a machine that needs them
read -ra run <<<"${RUN_OPTIONS:-}"
command -v "$engine" >/dev/null || {
    echo "Expected Docker, found none; name another engine: ENGINE=podman scripts/test_container.sh" >&2
    exit 2
}
work=$(mktemp -d)
options=(--read-only --tmpfs /tmp --network none --user 12345:12345 --volume "$work:/data" "${run[@]}")
clear() { # what belongs to the user of the container, and then the rest
    if "$engine" image inspect "$image" >/dev/null 2>&1; then # else it would be looked for elsewhere
        "$engine" run --rm "${options[@]}" --entrypoint sh "$image" -c 'rm -rf /data/*' || true
    fi
    rm -rf "$work" || true
}
trap clear EXIT
chmod 777 "$work"

if [[ -z ${BUILT:-} ]]; then
    "$engine" build "${build[@]}" --tag "$image" .
fi

in_container() {
    "$engine" run --rm "${options[@]}" "$image" "$@"
}

in_container --help >/dev/null
"$engine" run --rm "${options[@]}" --entrypoint python "$image" -c '
from gliomaseg.workflows.phantom import make_phantom
make_phantom("/data/scans", patients=3)'
in_container predict /data/scans --output /data/masks
in_container evaluate /data/scans --output /data/figures
in_container export --to onnx --output /data/model.onnx
in_container export --to openvino --output /data/model.xml
in_container predict /data/scans --model /data/model.onnx --output /data/of-onnx
test -s "$work/masks/results.csv"
test -s "$work/figures/metrics.json"
test -s "$work/model.xml"
test -s "$work/of-onnx/results.csv"
"$engine" run --rm "${options[@]}" --entrypoint sh "$image" -c 'test -O /data/masks/results.csv'

server=$("$engine" run --detach "${options[@]}" "$image" serve)
stop() { "$engine" rm --force "$server" >/dev/null; }
trap 'stop || true; clear' EXIT
ask='
import itertools, json, time, urllib.request
for _ in range(1200):
    try:
        print(urllib.request.urlopen("http://127.0.0.1:8000/v2/health/ready").read().decode())
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("The server did not answer.")
'
"$engine" exec "$server" /opt/gliomaseg/bin/python -c "$ask"
echo "The image $image works."
