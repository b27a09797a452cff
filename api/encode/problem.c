#include "api/encode/problem.h"

#include <stdio.h>

#include "server/core/assert.h"
#include "server/core/json_write.h"

static const struct {
    unsigned status;
    const char *name;
    const char *title;
} problems[PROBLEMS] = {
#define X(NAME, status, code, title) [PROBLEM_##NAME] = {status, code, title},
#include "api/encode/problem_code.def"
#undef X
};

unsigned problem_status(enum problem_code code)
{
    ASSERT(code < PROBLEMS);
    return problems[code].status;
}

const char *problem_name(enum problem_code code)
{
    ASSERT(code < PROBLEMS);
    return problems[code].name;
}

bool problem_by_name(const char *name, enum problem_code *ret)
{
    for (enum problem_code code = 0; code < PROBLEMS; code++) {
        if (strcmp(problems[code].name, name) == 0) {
            *ret = code;
            return true;
        }
    }
    return false;
}

void problem_write(const struct problem *p, struct buf *out)
{
    ASSERT(p->code < PROBLEMS);
    struct json_out w;
    char type[64];
    int n = snprintf(type, sizeof(type), "urn:danmakud:problem:%s", problems[p->code].name);
    jw_init(&w, out);
    jw_object(&w);
    jw_kstr(&w, "type", (struct str){type, (size_t)n});
    jw_kstr(&w, "title", str_of(problems[p->code].title));
    jw_ki64(&w, "status", problems[p->code].status);
    if (p->detail != NULL) {
        jw_kstr(&w, "detail", str_of(p->detail));
    }
    if (p->request_id.len > 0) {
        jw_kstr(&w, "instance", p->request_id);
    }
    jw_kstr(&w, "code", str_of(problems[p->code].name));
    if (p->n_errors > 0) {
        jw_key(&w, STR("errors"));
        jw_array(&w);
        for (size_t i = 0; i < p->n_errors; i++) {
            jw_object(&w);
            jw_kstr(&w, "param", p->errors[i].param);
            jw_kstr(&w, "code", str_of(p->errors[i].code));
            jw_kstr(&w, "reason", str_of(p->errors[i].reason));
            jw_object_end(&w);
        }
        jw_array_end(&w);
    }
    jw_object_end(&w);
    buf_put_c(out, '\n');
}
