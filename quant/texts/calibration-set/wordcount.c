#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 4096

struct entry {
    char *word;
    unsigned long count;
    struct entry *next;
};

static struct entry *table[BUCKETS];

static unsigned hash(const char *word)
{
    unsigned value = 2166136261u;
    for (; *word; word++)
        value = (value ^ (unsigned char)*word) * 16777619u;
    return value % BUCKETS;
}

static int count(const char *word)
{
    unsigned slot = hash(word);
    struct entry *entry;

    for (entry = table[slot]; entry != NULL; entry = entry->next) {
        if (strcmp(entry->word, word) == 0) {
            entry->count++;
            return 0;
        }
    }
    entry = malloc(sizeof *entry);
    if (entry == NULL || (entry->word = strdup(word)) == NULL) {
        free(entry);
        return -1;
    }
    entry->count = 1;
    entry->next = table[slot];
    table[slot] = entry;
    return 0;
}

int main(int argc, char **argv)
{
    FILE *file = argc > 1 ? fopen(argv[1], "r") : stdin;
    char word[256];
    size_t length = 0;
    int c;

    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    while ((c = fgetc(file)) != EOF) {
        if (isalpha(c) && length < sizeof word - 1) {
            word[length++] = (char)tolower(c);
        } else if (length > 0) {
            word[length] = '\0';
            if (count(word) != 0)
                return 1;
            length = 0;
        }
    }
    for (int slot = 0; slot < BUCKETS; slot++)
        for (struct entry *entry = table[slot]; entry; entry = entry->next)
            printf("%8lu %s\n", entry->count, entry->word);
    return 0;
}
