// SPDX-License-Identifier: BSD-2-Clause
/*
 * script.h - a file of cases: each a title and the steps that are taken one after the other.
 *
 * The language is described in README.md. A file is read as a whole before anything is run, so that
 * a slip of the pen in the last case is not found out only when the case before it passes.
 */
#ifndef SCRIPT_SCRIPT_H
#define SCRIPT_SCRIPT_H

#include "packet.h"

enum step_kind {
    STEP_WAIT,
    STEP_SEND,
    STEP_SEND_ICMP,
    STEP_EXPECT,
    STEP_EXPECT_ANYTHING, /* whatever was sent until now is as it may be */
    STEP_CONFIG,
    STEP_CONNECT,
    STEP_CONNECT_FAILS,
    STEP_APP,
    STEP_STATE,
    STEP_COUNTER,
    STEP_INFO,
    STEP_HOLD, /* packets are received in one turn, */
    STEP_TURN, /* this one */
    STEP_ISN_REMEMBER,
    STEP_ISN_ADVANCED,
    STEP_ISN_APART,
};

enum app_verb {
    /* The application does this, or will do it. */
    APP_WRITE,
    APP_CLOSE,
    APP_ABORT,
    APP_KEEP,
    APP_RECVED,
    APP_REFUSE,
    APP_FILL,
    APP_ANSWER,
    APP_PROMISE,
    /* The application must have seen this. */
    APP_RECEIVED,
    APP_ACKED,
    APP_ACCEPTED,
    APP_CONNECTED,
    APP_RECV_END,
    APP_FILLS,
    APP_CLOSED,
    APP_OPEN,
};

struct step {
    enum step_kind kind;
    uint32_t line;
    const char *text;
    bool timed;
    struct span after_ns; /* of the step before */
    union {
        struct packet packet;
        struct packet_icmp icmp;
        struct {
            uint32_t index; /* from 0 */
            enum app_verb verb;
            enum trace_when when; /* NEVER: now */
        } app;
        struct {
            uint32_t index; /* in the table that the step's kind speaks of */
            uint16_t port;
            char word[32];
            uint8_t addr[4];
        } name;
    };
    struct span value;
};

struct script_case {
    const char *title;
    const char *path;
    uint32_t line;
    struct step *steps;
    uint32_t step_count;
};

struct script {
    char *text; /* of the file, cut into lines: what titles and steps point into */
    struct script_case *cases;
    uint32_t case_count;
};

/* False: something cannot be read or understood, and standard error says where and what. `script`
 * is zeroed; it is to be unloaded in any case. */
bool script_load(struct script *script, const char *path);
void script_unload(struct script *script);

enum config_type {
    CONFIG_U16,
    CONFIG_U32,
    CONFIG_NS,
    CONFIG_WORD,
    CONFIG_FLAG, /* 0 or 1 */
};
/* What `config` can set: fields of struct tcp_config, and of the harness. */
struct config_desc {
    const char *name;
    enum config_type type;
    size_t offset; /* in struct tcp_config, or CONFIG_HARNESS_... */
};
enum {
    CONFIG_HARNESS_PEER_ISS = 0x10000,
    CONFIG_HARNESS_MTU,
    CONFIG_HARNESS_GSO,
};
extern const struct config_desc config_descs[];

/* What `info` can ask for: fields of struct tcp_info. */
struct info_desc {
    const char *name;
    size_t offset;
    size_t bytes;
    uint32_t unit_ns; /* 0: a number */
};
extern const struct info_desc info_descs[];

#endif
