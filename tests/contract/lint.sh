#!/bin/sh
# openapi.yaml by redocly. Installs it from the lock file first, if need be.
set -eu
cd "$(dirname "$0")"
[ -x node_modules/.bin/redocly ] || npm ci --ignore-scripts --no-audit --no-fund
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true exec node_modules/.bin/redocly lint --config redocly.yaml ../../openapi.yaml
