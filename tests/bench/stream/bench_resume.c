/* The two clients of tests/bench/stream/resume, each reading the same rows once.
 *
 *   bench_resume http PORT AFTER_ID N     the live stream of danmakud, resumed behind the id
 *   bench_resume libpq CONNINFO AFTER_ID N   one SELECT in the order of ids, row by row
 *
 * Prints the seconds until all N were there. */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/query/event_row.h"
#include "server/core/assert.h"
#include "server/core/clock.h"
#include "server/core/str.h"

enum { READ_BYTES = 1 << 18 };

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* HTTP/1.0: the body comes as it is, not in chunks that could cut what is counted. */
static uint64_t read_stream(const char *port, const char *after, uint64_t n)
{
    static const char mark[] = "\nid: ";
    char *buf = malloc(READ_BYTES);
    char head[200];
    int64_t number = 0;
    uint64_t got = 0;
    size_t matched = 0;
    ASSERT(buf != NULL && str_to_i64(str_of(port), &number));
    int fd = connect_to((uint16_t)number);
    int len = snprintf(head, sizeof head,
                       "GET /api/v1/events/stream HTTP/1.0\r\nHost: b\r\nLast-Event-ID: %s\r\n\r\n",
                       after);
    ASSERT(send(fd, head, (size_t)len, 0) == len);
    while (got < n) {
        ssize_t r = recv(fd, buf, READ_BYTES, 0);
        if (r <= 0) {
            break;
        }
        for (ssize_t i = 0; i < r; i++) {
            matched = buf[i] == mark[matched] ? matched + 1 : buf[i] == '\n';
            if (matched == sizeof mark - 1) {
                got++;
                matched = 0;
            }
        }
    }
    (void)close(fd);
    free(buf);
    return got;
}

static uint64_t read_rows(const char *conninfo, const char *after)
{
#define X(column) #column ", "
    static const char sql[] =
        "SELECT " EVENT_ROW_COLUMNS(X) "1 FROM event WHERE id > $1::int8 ORDER BY id";
#undef X
    PGconn *pg = PQconnectdb(conninfo);
    uint64_t got = 0;
    if (PQstatus(pg) != CONNECTION_OK ||
        PQsendQueryParams(pg, sql, 1, NULL, &after, NULL, NULL, 0) != 1 ||
        PQsetSingleRowMode(pg) != 1) {
        (void)fprintf(stderr, "%s", PQerrorMessage(pg));
        exit(1);
    }
    for (PGresult *res; (res = PQgetResult(pg)) != NULL; PQclear(res)) {
        got += PQresultStatus(res) == PGRES_SINGLE_TUPLE;
    }
    PQfinish(pg);
    return got;
}

int main(int argc, char **argv)
{
    int64_t n = 0;
    if (argc != 5 || !str_to_i64(str_of(argv[4]), &n) || n < 1) {
        (void)fprintf(stderr, "usage: bench_resume http PORT|libpq CONNINFO AFTER_ID N\n");
        return 2;
    }
    uint64_t begun = clock_mono_ns();
    uint64_t got = strcmp(argv[1], "http") == 0 ? read_stream(argv[2], argv[3], (uint64_t)n)
                                                : read_rows(argv[2], argv[3]);
    printf("%.4f\n", (double)(clock_mono_ns() - begun) / 1e9);
    if (got != (uint64_t)n) {
        (void)fprintf(stderr, "%llu of %lld events\n", (unsigned long long)got, (long long)n);
        return 1;
    }
    return 0;
}
