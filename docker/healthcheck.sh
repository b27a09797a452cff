#!/bin/sh
# The process answers. Readiness (database) is /readyz; a container is not restarted because PostgreSQL is away.
exec curl -fsS -o /dev/null --max-time 2 "http://127.0.0.1:${DANMAKUD_LISTEN##*:}/livez"
