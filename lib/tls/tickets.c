// SPDX-License-Identifier: BSD-2-Clause
/*
 * tickets.c - keys that seal session tickets, in the form of RFC 5077 4: a name by which the key
 * is known again, AES in CBC mode, and HMAC-SHA-256 over all of it. OpenSSL does the sealing.
 *
 * Two keys: tickets are sealed with `now` and opened with either. A ticket lives as long as a key
 * seals, so it can be opened to its last day: by then its key is at worst the one before.
 */
#include "priv.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>

#define CIPHER_KEY_BYTES 32
#define MAC_KEY_BYTES    32
#define IV_BYTES         16

struct ticket_key {
    uint8_t name[TLS_TICKET_NAME_BYTES];
    uint8_t cipher[CIPHER_KEY_BYTES];
    uint8_t mac[MAC_KEY_BYTES];
};

struct tls_tickets {
    pthread_mutex_t lock; /* for as long as it takes to copy a key */
    EVP_CIPHER *cipher;
    uint32_t rotate_s;
    bool started;
    bool has_before;
    int64_t since_s; /* when `now` began to seal */
    struct ticket_key now, before;
};

static bool key_make(struct ticket_key *key)
{
    return RAND_bytes(key->name, sizeof(key->name)) == 1 &&
           RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
           RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
}

int tls_tickets_open(struct tls_tickets **out, uint32_t rotate_s)
{
    struct tls_tickets *tickets = calloc(1, sizeof(*tickets));

    if (!tickets)
        return -ENOMEM;
    tickets->rotate_s = rotate_s;
    tickets->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (!tickets->cipher || !key_make(&tickets->now)) {
        EVP_CIPHER_free(tickets->cipher);
        free(tickets);
        return -ENOMEM;
    }
    pthread_mutex_init(&tickets->lock, NULL);
    *out = tickets;
    return 0;
}

void tls_tickets_close(struct tls_tickets *tickets)
{
    if (!tickets)
        return;
    pthread_mutex_destroy(&tickets->lock);
    EVP_CIPHER_free(tickets->cipher);
    OPENSSL_cleanse(tickets, sizeof(*tickets));
    free(tickets);
}

uint32_t tls_tickets_life_s(const struct tls_tickets *tickets)
{
    return tickets->rotate_s;
}

/* Without random numbers the key that there is goes on: the next turn tries again. */
static void rotate(struct tls_tickets *tickets, int64_t now_s)
{
    struct ticket_key next;

    if (!key_make(&next))
        return;
    tickets->before = tickets->now;
    tickets->now = next;
    // Nobody turned for so long that the key before has outlived all that it sealed.
    tickets->has_before = now_s - tickets->since_s < 2 * (int64_t)tickets->rotate_s;
    if (!tickets->has_before)
        OPENSSL_cleanse(&tickets->before, sizeof(tickets->before));
    tickets->since_s = now_s;
    OPENSSL_cleanse(&next, sizeof(next));
}

void tls_tickets_turn(struct tls_tickets *tickets, int64_t now_s)
{
    pthread_mutex_lock(&tickets->lock);
    if (!tickets->started) {
        tickets->started = true;
        tickets->since_s = now_s;
    }
    if (now_s - tickets->since_s >= (int64_t)tickets->rotate_s)
        rotate(tickets, now_s);
    pthread_mutex_unlock(&tickets->lock);
}

static bool mac_init(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

int tls_tickets_seal(struct tls_tickets *tickets, uint8_t *key_name, uint8_t *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_key key;
    bool ok;

    pthread_mutex_lock(&tickets->lock);
    key = tickets->now;
    pthread_mutex_unlock(&tickets->lock);
    memcpy(key_name, key.name, sizeof(key.name));
    ok = RAND_bytes(iv, IV_BYTES) == 1 &&
         EVP_EncryptInit_ex(cipher, tickets->cipher, NULL, key.cipher, iv) == 1 &&
         mac_init(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    return ok ? 1 : -1;
}

/* 1: with the key that seals; 2: with the one before, so that a new ticket is due; 0: with none. */
static int key_find(struct tls_tickets *tickets, const uint8_t *key_name, struct ticket_key *key)
{
    int found = 0;

    pthread_mutex_lock(&tickets->lock);
    if (memcmp(key_name, tickets->now.name, TLS_TICKET_NAME_BYTES) == 0) {
        *key = tickets->now;
        found = 1;
    } else if (tickets->has_before &&
               memcmp(key_name, tickets->before.name, TLS_TICKET_NAME_BYTES) == 0) {
        *key = tickets->before;
        found = 2;
    }
    pthread_mutex_unlock(&tickets->lock);
    return found;
}

int tls_tickets_unseal(struct tls_tickets *tickets, const uint8_t *key_name, const uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    struct ticket_key key;
    int found = key_find(tickets, key_name, &key);
    bool ok;

    if (found == 0)
        return 0;
    ok = mac_init(mac, &key) &&
         EVP_DecryptInit_ex(cipher, tickets->cipher, NULL, key.cipher, iv) == 1;
    OPENSSL_cleanse(&key, sizeof(key));
    return ok ? found : -1;
}
