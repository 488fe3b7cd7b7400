#!/usr/bin/env bash
# Tests checkpoints in an S3 bucket against a server of our own on loopback (moto, from PyPI, in target/s3-venv).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=target/s3-venv
[ -x "$venv/bin/moto_server" ] || { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet 'moto[server]==5.*'; }
test_buckets() {
    cargo test -p tidemill-checkpoint -p tidemill --features s3 --test s3 --test recover "$@"
}
# Built first, so that the server waits for nothing.
test_buckets --no-run

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$venv/bin/moto_server" -H 127.0.0.1 -p "$port" >/dev/null 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null' EXIT

export AWS_ENDPOINT="http://127.0.0.1:$port" AWS_ALLOW_HTTP=true AWS_REGION=us-east-1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test TIDEMILL_S3=s3://checkpoints/jobs/fraud
python3 - <<'PY'
# Makes the bucket once the server answers.
import os, time, urllib.request
for attempt in range(300):
    try:
        request = urllib.request.Request(os.environ["AWS_ENDPOINT"] + "/checkpoints", method="PUT")
        urllib.request.urlopen(request, timeout=5)
        break
    except OSError as error:
        if attempt == 299:
            raise SystemExit(f"the server does not answer: {error}")
        time.sleep(0.1)
PY
test_buckets -- --ignored
