/* A host for the audio filter that is no SDK: what no SDK does, and what cannot be timed in one.
 *
 *     host liblistenkit.so audio.wav
 *
 * The library is loaded as SDKs load it. The WAV file is 16-bit mono. Built with sanitizers by .ci/filter. */
#define _POSIX_C_SOURCE 200809L
#define LISTENKIT_AUDIO_FILTER
#include "listenkit.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int32_t (*on_load)(const char *);
static void *(*create)(uint32_t, const char *, const char *);
static void (*destroy)(void *);
static void (*process_int16)(const void *, size_t, const int16_t *, int16_t *);
static void (*process_float)(const void *, size_t, const float *, float *);
static void (*update_stream_info)(const void *, const char *);

static __typeof__(listenkit_audio_filter_list) *list_filters;
static __typeof__(listenkit_audio_filter_find) *find_filter;
static __typeof__(listenkit_audio_filter_describe) *describe;
static __typeof__(listenkit_audio_filter_text) *text_of;
static __typeof__(listenkit_audio_filter_poll) *poll_filter;
static __typeof__(listenkit_audio_filter_turn_audio) *turn_audio;
static __typeof__(listenkit_audio_filter_answer_turn) *answer_turn;
static __typeof__(listenkit_features) *features;
static __typeof__(listenkit_models_new) *models_new;
static __typeof__(listenkit_models_free) *models_free;
static __typeof__(listenkit_models_has_turn_model) *has_turn_model;
static __typeof__(listenkit_detector_options_init) *options_init;
static __typeof__(listenkit_detector_new) *detector_new;
static __typeof__(listenkit_detector_free) *detector_free;
static __typeof__(listenkit_detector_push_i16) *push_i16;
static __typeof__(listenkit_detector_poll) *poll_detector;
static __typeof__(listenkit_detector_flush) *flush_detector;
static __typeof__(listenkit_detector_fingerprint) *fingerprint_of;
static __typeof__(listenkit_turn_audio_new) *turn_audio_new;
static __typeof__(listenkit_turn_audio_free) *turn_audio_free;
static __typeof__(listenkit_turn_audio_samples) *turn_audio_samples;

#define CHECK(what)                                                                \
    do {                                                                           \
        if (!(what)) {                                                             \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);     \
            exit(1);                                                               \
        }                                                                          \
    } while (0)

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "no symbol %s: was the library built with the feature audio-filter?\n", name);
        exit(1);
    }
    return found;
}

/* ISO C has no cast from object to function pointer; POSIX promises that the bytes do. */
#define LOAD(function, name)                                  \
    do {                                                      \
        void *found_ = symbol(library, name);                 \
        memcpy(&function, &found_, sizeof found_);            \
    } while (0)

static void load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    LOAD(on_load, "audio_filter_on_load");
    LOAD(create, "audio_filter_create");
    LOAD(destroy, "audio_filter_destroy");
    LOAD(process_int16, "audio_filter_process_int16");
    LOAD(process_float, "audio_filter_process_float");
    LOAD(update_stream_info, "audio_filter_update_stream_info");
    LOAD(list_filters, "listenkit_audio_filter_list");
    LOAD(find_filter, "listenkit_audio_filter_find");
    LOAD(describe, "listenkit_audio_filter_describe");
    LOAD(text_of, "listenkit_audio_filter_text");
    LOAD(poll_filter, "listenkit_audio_filter_poll");
    LOAD(turn_audio, "listenkit_audio_filter_turn_audio");
    LOAD(answer_turn, "listenkit_audio_filter_answer_turn");
    LOAD(features, "listenkit_features");
    LOAD(models_new, "listenkit_models_new");
    LOAD(models_free, "listenkit_models_free");
    LOAD(has_turn_model, "listenkit_models_has_turn_model");
    LOAD(options_init, "listenkit_detector_options_init");
    LOAD(detector_new, "listenkit_detector_new");
    LOAD(detector_free, "listenkit_detector_free");
    LOAD(push_i16, "listenkit_detector_push_i16");
    LOAD(poll_detector, "listenkit_detector_poll");
    LOAD(flush_detector, "listenkit_detector_flush");
    LOAD(fingerprint_of, "listenkit_detector_fingerprint");
    LOAD(turn_audio_new, "listenkit_turn_audio_new");
    LOAD(turn_audio_free, "listenkit_turn_audio_free");
    LOAD(turn_audio_samples, "listenkit_turn_audio_samples");
}

#ifdef COUNT_ALLOCATIONS
/* These stand before the C library's for the whole process, also for what was loaded. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);
static _Thread_local size_t allocations;
void *malloc(size_t size) { allocations++; return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { allocations++; return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { allocations++; return __libc_realloc(old, size); }
void free(void *old) { allocations += old != NULL; __libc_free(old); }
#endif

static int16_t *pcm;
static size_t frames;
static uint32_t rate;

static void read_wav(const char *path) {
    FILE *file = fopen(path, "rb");
    CHECK(file);
    unsigned char header[44];
    CHECK(fread(header, 1, sizeof header, file) == sizeof header);
    CHECK(memcmp(header, "RIFF", 4) == 0 && memcmp(header + 36, "data", 4) == 0);
    CHECK(header[22] == 1 && header[34] == 16);
    rate = (uint32_t)header[24] | (uint32_t)header[25] << 8 | (uint32_t)header[26] << 16;
    size_t bytes = (size_t)header[40] | (size_t)header[41] << 8 | (size_t)header[42] << 16;
    frames = bytes / 2;
    pcm = malloc(bytes);
    CHECK(pcm && fread(pcm, 1, bytes, file) == bytes);
    fclose(file);
}

static uint64_t by_label(const char *label) {
    uint64_t id = 0;
    CHECK(find_filter(LISTENKIT_AUDIO_FILTER_LABEL, label, &id) == LISTENKIT_OK);
    return id;
}

static listenkit_audio_filter_info info_of(uint64_t id) {
    listenkit_audio_filter_info info;
    info.struct_size = sizeof info;
    CHECK(describe(id, &info) == LISTENKIT_OK);
    return info;
}

static int has_text(uint64_t id, uint32_t which, const char *part) {
    char text[1024];
    size_t len = 0;
    CHECK(text_of(id, which, text, sizeof text, &len) == LISTENKIT_OK);
    CHECK(len == strlen(text) + 1);
    return part ? strstr(text, part) != NULL : len == 1;
}

static size_t listed(void) {
    size_t count = 0;
    CHECK(list_filters(NULL, 0, &count) == LISTENKIT_OK);
    return count;
}

/* Takes all events and forgets the filter. */
static size_t drain(uint64_t id) {
    listenkit_event event;
    event.struct_size = sizeof event;
    size_t count = 0;
    listenkit_status status;
    while ((status = poll_filter(id, &event)) == LISTENKIT_OK) count++;
    CHECK(status == LISTENKIT_ENDED);
    CHECK(poll_filter(id, &event) == LISTENKIT_WRONG_HANDLE);
    return count;
}

/* ---- what a detector says of the same audio ---- */

#define MOST 1024
struct said {
    listenkit_event events[MOST];
    size_t count;
    uint64_t fingerprint;
};

static struct said expected;

static void take(listenkit_detector *detector, struct said *said) {
    for (;;) {
        CHECK(said->count < MOST);
        listenkit_event *event = &said->events[said->count];
        memset(event, 0, sizeof *event);
        event->struct_size = sizeof *event;
        listenkit_status status = poll_detector(detector, event);
        if (status != LISTENKIT_OK) {
            CHECK(status == LISTENKIT_EMPTY);
            return;
        }
        said->count++;
    }
}

static void detect(void) {
    listenkit_models *models = NULL;
    CHECK(models_new(NULL, &models, NULL) == LISTENKIT_OK);
    listenkit_detector_options options;
    CHECK(options_init(&options, sizeof options) == LISTENKIT_OK);
    options.sample_rate = rate;
    listenkit_detector *detector = NULL;
    CHECK(detector_new(models, &options, &detector, NULL) == LISTENKIT_OK);
    for (size_t at = 0; at < frames;) {
        size_t taken = 0;
        CHECK(push_i16(detector, pcm + at, frames - at, &taken) == LISTENKIT_OK);
        at += taken;
        take(detector, &expected);
    }
    CHECK(flush_detector(detector) == LISTENKIT_OK);
    take(detector, &expected);
    CHECK(fingerprint_of(detector, &expected.fingerprint) == LISTENKIT_OK);
    detector_free(detector);
    models_free(models);
    CHECK(expected.count > 4);
}

static void same(const struct said *said) {
    CHECK(said->count == expected.count);
    for (size_t i = 0; i < said->count; i++) {
        CHECK(memcmp(&said->events[i], &expected.events[i], sizeof said->events[i]) == 0);
    }
}

/* ---- a reader beside the audio ---- */

struct reading {
    uint64_t id;
    struct said said;
};

static void *read_all(void *argument) {
    struct reading *reading = argument;
    for (;;) {
        CHECK(reading->said.count < MOST);
        listenkit_event *event = &reading->said.events[reading->said.count];
        memset(event, 0, sizeof *event);
        event->struct_size = sizeof *event;
        listenkit_status status = poll_filter(reading->id, event);
        if (status == LISTENKIT_ENDED) return NULL;
        if (status == LISTENKIT_OK) reading->said.count++;
        else CHECK(status == LISTENKIT_EMPTY && sched_yield() == 0);
    }
}

/* Plays the recording in blocks, `in_place` or not, and checks that it comes out as it went in. */
static void play(void *filter, size_t block, int in_place) {
    int16_t *out = malloc((block + 2) * sizeof *out);
    CHECK(out);
    for (size_t at = 0; at < frames;) {
        size_t len = frames - at < block ? frames - at : block;
        memset(out, 0x5a, (block + 2) * sizeof *out);
        if (in_place) {
            memcpy(out + 1, pcm + at, len * sizeof *out);
            process_int16(filter, len, out + 1, out + 1);
        } else {
            process_int16(filter, len, pcm + at, out + 1);
        }
        CHECK(memcmp(out + 1, pcm + at, len * sizeof *out) == 0);
        CHECK(out[0] == 0x5a5a && out[len + 1] == 0x5a5a);
        at += len;
    }
    free(out);
}

static void events_are_a_detectors_while_another_thread_reads(void) {
    /* Blocks of other lengths than 10 ms need the number of channels. */
    static const struct { size_t ms10, in_place; const char *options; } cases[] = {
        {1, 0, "{\"label\": \"a\"}"},
        {1, 1, "{\"label\": \"a\", \"event_queue\": 16}"},
        {7, 0, "{\"label\": \"a\", \"channels\": 1}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        void *filter = create(rate, cases[i].options, "{\"trackId\": \"TR_1\"}");
        CHECK(filter);
        static struct reading reading;
        memset(&reading, 0, sizeof reading);
        reading.id = by_label("a");
        CHECK(info_of(reading.id).state == LISTENKIT_AUDIO_FILTER_STATE_LIVE);
        CHECK(info_of(reading.id).channels == 0);
        pthread_t reader;
        CHECK(pthread_create(&reader, NULL, read_all, &reading) == 0);
        play(filter, cases[i].ms10 * rate / 100, (int)cases[i].in_place);
        listenkit_audio_filter_info info = info_of(reading.id);
        CHECK(info.samples_in == frames && info.channels == 1 && info.sample_rate == rate);
        CHECK(info.events_dropped == 0 && info.blocks_lost == 0);
        destroy(filter);
        CHECK(pthread_join(reader, NULL) == 0);
        same(&reading.said);
        CHECK(listed() == 0);
    }
}

static void events_can_be_read_after_the_end(void) {
    void *filter = create(rate, "", "{\"trackId\": \"TR_2\", \"roomName\": \"r\"}");
    CHECK(filter);
    uint64_t id = 0;
    CHECK(find_filter(LISTENKIT_AUDIO_FILTER_TRACK_ID, "TR_2", &id) == LISTENKIT_OK);
    play(filter, rate / 100, 0);
    CHECK(has_text(id, LISTENKIT_AUDIO_FILTER_ROOM_ID, NULL));
    update_stream_info(filter, "{\"trackId\": \"TR_2\", \"roomId\": \"RM_1\"}");
    update_stream_info(filter, NULL);
    CHECK(has_text(id, LISTENKIT_AUDIO_FILTER_ROOM_ID, "RM_1"));
    destroy(filter);
    listenkit_audio_filter_info info = info_of(id);
    CHECK(info.state == LISTENKIT_AUDIO_FILTER_STATE_ENDED);
    CHECK(info.fingerprint == expected.fingerprint);
    CHECK(drain(id) == expected.count);
}

static void what_nobody_reads_is_counted_and_the_audio_goes_on(void) {
    void *filter = create(rate, "{\"label\": \"full\", \"report_windows\": true, \"event_queue\": 16}", NULL);
    CHECK(filter);
    uint64_t id = by_label("full");
    play(filter, rate / 100, 0);
    listenkit_audio_filter_info info = info_of(id);
    size_t windows = (size_t)(frames / (rate / 1000 * 32));
    CHECK(info.events_dropped >= windows - 16 - 1);
    CHECK(info.samples_in == frames);
    destroy(filter);
    /* It is the newest that were dropped: windows from the first on, without a hole. */
    listenkit_event event;
    event.struct_size = sizeof event;
    uint64_t next = 0;
    for (int i = 0; i < 16; i++) {
        CHECK(poll_filter(id, &event) == LISTENKIT_OK);
        if (event.kind != LISTENKIT_EVENT_WINDOW) continue;
        CHECK(event.start == next);
        next = event.end;
    }
    CHECK(next > 0);
    CHECK(drain(id) == 0);
}

static void wrong_options_are_refused_with_a_reason(void) {
    static const struct { const char *options, *reason; } cases[] = {
        {"{", "not JSON"},
        {"[1]", "JSON object"},
        {"{\"min_silence\": 1}", "\"min_silence\""},
        {"{\"min_silence_ms\": -1}", "min_silence_ms is -1"},
        {"{\"min_silence_ms\": 1.5}", "whole number"},
        {"{\"min_silence_ms\": 4294967295}", "whole number"},
        {"{\"min_silence_ms\": \"250\"}", "whole number"},
        {"{\"activation_threshold\": 2}", "2"},
        {"{\"activation_threshold\": null}", "a number"},
        {"{\"report_windows\": 1}", "true or false"},
        {"{\"policy\": \"brisk\"}", "\"fast\" or \"balanced\""},
        {"{\"preset\": 1}", "\"livekit_core\""},
        {"{\"channels\": 9}", "9"},
        {"{\"channels\": 0}", "0"},
        {"{\"downmix_channel\": 1}", "1"},
        {"{\"event_queue\": 15}", "16 to 4096"},
        {"{\"label\": 5}", "label"},
        {"\xff", "UTF-8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(!create(rate, cases[i].options, "{\"trackId\": \"TR_bad\"}"));
        uint64_t id = 0;
        CHECK(find_filter(LISTENKIT_AUDIO_FILTER_TRACK_ID, "TR_bad", &id) == LISTENKIT_OK);
        CHECK(info_of(id).state == LISTENKIT_AUDIO_FILTER_STATE_REFUSED);
        if (!has_text(id, LISTENKIT_AUDIO_FILTER_ERROR, cases[i].reason)) {
            char text[256];
            size_t len = 0;
            text_of(id, LISTENKIT_AUDIO_FILTER_ERROR, text, sizeof text, &len);
            fprintf(stderr, "%s: \"%s\" does not say \"%s\"\n", cases[i].options, text, cases[i].reason);
            exit(1);
        }
        CHECK(drain(id) == 0);
    }
    /* A rate that no detector takes. */
    CHECK(!create(1000, "{\"label\": \"slow\"}", NULL));
    CHECK(has_text(by_label("slow"), LISTENKIT_AUDIO_FILTER_ERROR, "1000"));
    CHECK(drain(by_label("slow")) == 0);
    /* Nobody reads: they do not pile up. */
    for (int i = 0; i < 1000; i++) CHECK(!create(rate, "{", NULL));
    CHECK(listed() == 32);
    uint64_t ids[32];
    size_t len = 0;
    CHECK(list_filters(ids, 31, &len) == LISTENKIT_BUFFER_TOO_SMALL);
    CHECK(list_filters(ids, 32, &len) == LISTENKIT_OK && len == 32);
    for (size_t i = 0; i < len; i++) CHECK(drain(ids[i]) == 0);
    CHECK(listed() == 0);
}

static void a_block_that_tells_no_channels_fails_the_filter_not_the_audio(void) {
    void *filter = create(16000, "{\"label\": \"odd\"}", NULL);
    CHECK(filter);
    uint64_t id = by_label("odd");
    int16_t out[512];
    process_int16(filter, 512, pcm, out);
    CHECK(memcmp(out, pcm, sizeof out) == 0);
    CHECK(info_of(id).state == LISTENKIT_AUDIO_FILTER_STATE_FAILED);
    CHECK(has_text(id, LISTENKIT_AUDIO_FILTER_ERROR, "512 values"));
    process_int16(filter, 160, pcm + 7, out);
    CHECK(memcmp(out, pcm + 7, 320) == 0);
    CHECK(info_of(id).samples_in == 0);
    destroy(filter);
    CHECK(info_of(id).state == LISTENKIT_AUDIO_FILTER_STATE_ENDED);
    CHECK(drain(id) == 0);
}

static void a_sample_may_be_split_between_blocks(void) {
    /* Stereo of two equal channels, in blocks of 3 values: the mean is the recording. */
    void *filter = create(rate, "{\"label\": \"split\", \"channels\": 2}", NULL);
    CHECK(filter);
    uint64_t id = by_label("split");
    int16_t *both = malloc(2 * frames * sizeof *both);
    CHECK(both);
    for (size_t i = 0; i < 2 * frames; i++) both[i] = pcm[i / 2];
    int16_t out[3];
    for (size_t at = 0; at < 2 * frames; at += 3) {
        size_t len = 2 * frames - at < 3 ? 2 * frames - at : 3;
        process_int16(filter, len, both + at, out);
        CHECK(memcmp(out, both + at, len * sizeof *out) == 0);
    }
    free(both);
    CHECK(info_of(id).samples_in == frames);
    destroy(filter);
    CHECK(info_of(id).fingerprint == expected.fingerprint);
    CHECK(drain(id) == expected.count);
}

static void floats_are_heard_too(void) {
    void *filter = create(rate, "{\"label\": \"float\"}", NULL);
    CHECK(filter);
    uint64_t id = by_label("float");
    size_t block = rate / 100;
    float *in = malloc(block * sizeof *in), *out = malloc(block * sizeof *out);
    CHECK(in && out);
    size_t whole = frames - frames % block;
    for (size_t at = 0; at < whole; at += block) {
        for (size_t i = 0; i < block; i++) in[i] = (float)pcm[at + i] / 32768.0f;
        process_float(filter, block, in, out);
        CHECK(memcmp(in, out, block * sizeof *in) == 0);
    }
    free(in);
    free(out);
    destroy(filter);
    /* A power of two makes no rounding: as heard from integers. */
    CHECK(frames != whole || info_of(id).fingerprint == expected.fingerprint);
    CHECK(drain(id) == expected.count);
}

static void nothing_is_followed_that_is_null(void) {
    int16_t out[160] = {1};
    void *filter = create(16000, NULL, NULL);
    CHECK(filter);
    process_int16(filter, 160, NULL, out);
    CHECK(out[0] == 1);
    process_int16(filter, 160, pcm, NULL);
    process_int16(filter, 0, NULL, NULL);
    process_int16(filter, (size_t)-1, pcm, out);
    process_float(filter, 0, NULL, NULL);
    /* The audio passes even without a filter. */
    process_int16(NULL, 160, pcm, out);
    CHECK(memcmp(out, pcm, sizeof out) == 0);
    update_stream_info(NULL, "{}");
    update_stream_info(filter, "no JSON");
    destroy(filter);
    destroy(NULL);
    CHECK(on_load(NULL) == 0);

    listenkit_event event;
    event.struct_size = sizeof event;
    uint64_t id = 0;
    size_t len = 0;
    char text[4];
    listenkit_audio_filter_info info;
    info.struct_size = 1;
    CHECK(list_filters(&id, 1, NULL) == LISTENKIT_NULL_POINTER);
    CHECK(list_filters(NULL, 1, &len) == LISTENKIT_NULL_POINTER);
    CHECK(list_filters(&id, 1, &len) == LISTENKIT_OK && len == 1);
    CHECK(describe(id, NULL) == LISTENKIT_NULL_POINTER);
    CHECK(describe(id, &info) == LISTENKIT_STRUCT_SIZE);
    CHECK(text_of(id, LISTENKIT_AUDIO_FILTER_STREAM_INFO, text, sizeof text, &len) == LISTENKIT_BUFFER_TOO_SMALL);
    CHECK(text_of(id, LISTENKIT_AUDIO_FILTER_STREAM_INFO, NULL, 0, &len) == LISTENKIT_OK && len == 8);
    CHECK(text_of(id, 0, text, sizeof text, &len) == LISTENKIT_VALUE);
    CHECK(find_filter(0, "", &id) == LISTENKIT_VALUE);
    CHECK(find_filter(LISTENKIT_AUDIO_FILTER_LABEL, NULL, &id) == LISTENKIT_NULL_POINTER);
    CHECK(find_filter(LISTENKIT_AUDIO_FILTER_LABEL, "x", NULL) == LISTENKIT_NULL_POINTER);
    CHECK(find_filter(LISTENKIT_AUDIO_FILTER_LABEL, "x", &id) == LISTENKIT_EMPTY);
    CHECK(poll_filter(id, NULL) == LISTENKIT_NULL_POINTER);
    CHECK(poll_filter(12345678, &event) == LISTENKIT_WRONG_HANDLE);
    CHECK(turn_audio(id, 0, NULL) == LISTENKIT_NULL_POINTER);
    CHECK(answer_turn(12345678, 0, 0.5f) == LISTENKIT_WRONG_HANDLE);
    CHECK(answer_turn(id, 0, 1.5f) == LISTENKIT_CONFIG || answer_turn(id, 0, 1.5f) == LISTENKIT_VALUE);
    CHECK(drain(id) == 0);
}

static void *play_on(void *filter) {
    play(filter, rate / 100, 0);
    return NULL;
}

static void two_threads_in_one_filter_lose_blocks_and_say_so(void) {
    /* No SDK does that. */
    void *filter = create(rate, "{\"label\": \"both\"}", NULL);
    CHECK(filter);
    uint64_t id = by_label("both");
    pthread_t other;
    CHECK(pthread_create(&other, NULL, play_on, filter) == 0);
    play(filter, rate / 100, 0);
    CHECK(pthread_join(other, NULL) == 0);
    listenkit_audio_filter_info info = info_of(id);
    CHECK(info.state == LISTENKIT_AUDIO_FILTER_STATE_LIVE);
    CHECK(info.samples_in + info.blocks_lost * (rate / 100) == 2 * frames);
    destroy(filter);
    drain(id);
}

static void turn_queries_are_answered_by_the_reader(void) {
    static const char *options =
        "{\"label\": \"turns\", \"policy\": \"fast\", \"turn_timeout_ms\": 60000, \"max_delay_ms\": 60000}";
    void *filter = create(rate, options, NULL);
    CHECK(filter);
    uint64_t id = by_label("turns");
    listenkit_turn_audio *audio = NULL;
    CHECK(turn_audio_new(&audio) == LISTENKIT_OK);
    listenkit_event event;
    event.struct_size = sizeof event;
    size_t questions = 0, answered = 0, block = rate / 100;
    int16_t out[2048];
    for (size_t at = 0; at + block <= frames; at += block) {
        process_int16(filter, block, pcm + at, out);
        while (poll_filter(id, &event) == LISTENKIT_OK) {
            if (event.kind == LISTENKIT_EVENT_TURN_QUERY) {
                questions++;
                CHECK(turn_audio(id, event.query + 1, audio) == LISTENKIT_OVERWRITTEN);
                CHECK(turn_audio(id, event.query, audio) == LISTENKIT_OK);
                size_t len = 0;
                CHECK(turn_audio_samples(audio, NULL, 0, &len) == LISTENKIT_OK);
                CHECK(len >= 16000 / 2 && len <= 8 * 16000);
                CHECK(turn_audio(id, event.query, audio) == LISTENKIT_OVERWRITTEN);
                CHECK(answer_turn(id, event.query, 1.0f) == LISTENKIT_OK);
            }
            if (event.kind == LISTENKIT_EVENT_END_OF_TURN) {
                answered++;
                CHECK(event.reason == LISTENKIT_TURN_END_COMPLETE);
                /* The mean of two certain answers, in log-odds, which are limited. */
                CHECK(event.probability > 0.999f);
            }
        }
    }
    CHECK(questions > 3 && answered > 3);
    CHECK(info_of(id).turns_without_audio == 0);
    turn_audio_free(audio);
    destroy(filter);
    CHECK(answer_turn(id, 1, 1.0f) == LISTENKIT_ENDED);
    drain(id);

    /* Nobody reads: the questions come without audio, and nothing waits or grows. */
    filter = create(rate, options, NULL);
    CHECK(filter);
    id = by_label("turns");
    play(filter, block, 0);
    CHECK(info_of(id).turns_without_audio > 0 && info_of(id).events_dropped == 0);
    for (int i = 0; i < 64; i++) CHECK(answer_turn(id, 1000, 0.0f) == LISTENKIT_OK);
    CHECK(answer_turn(id, 1000, 0.0f) == LISTENKIT_BUSY);
    destroy(filter);
    drain(id);
}

/* ---- many at once ---- */

static void *call_after_call(void *argument) {
    const char *label = argument;
    char options[64];
    snprintf(options, sizeof options, "{\"label\": \"%s\"}", label);
    for (int i = 0; i < 8; i++) {
        void *filter = create(rate, options, options);
        CHECK(filter);
        uint64_t id = by_label(label);
        play(filter, rate / 100, i % 2);
        destroy(filter);
        CHECK(info_of(id).fingerprint == expected.fingerprint);
        CHECK(drain(id) == expected.count);
    }
    return NULL;
}

static void *look_around(void *argument) {
    volatile int *over = argument;
    while (!*over) {
        sched_yield();
        uint64_t ids[64];
        size_t len = 0;
        if (list_filters(ids, 64, &len) != LISTENKIT_OK) continue;
        for (size_t i = 0; i < len; i++) {
            char text[64];
            size_t text_len = 0;
            listenkit_audio_filter_info info;
            info.struct_size = sizeof info;
            describe(ids[i], &info);
            text_of(ids[i], LISTENKIT_AUDIO_FILTER_LABEL, text, sizeof text, &text_len);
        }
    }
    return NULL;
}

static void many_threads_do_not_meet(void) {
    static char labels[4][8] = {"t0", "t1", "t2", "t3"};
    static volatile int over = 0;
    pthread_t threads[4], watcher;
    CHECK(pthread_create(&watcher, NULL, look_around, (void *)&over) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, call_after_call, labels[i]) == 0);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    over = 1;
    CHECK(pthread_join(watcher, NULL) == 0);
    CHECK(listed() == 0);
}

#ifdef COUNT_ALLOCATIONS
static void hearing_allocates_nothing_after_the_first_block(void) {
    static const char *options[] = {
        "{\"label\": \"lean\", \"report_windows\": true, \"event_queue\": 16}",
        "{\"label\": \"lean\", \"policy\": \"balanced\"}",
    };
    for (size_t i = 0; i < 2; i++) {
        void *filter = create(rate, options[i], NULL);
        CHECK(filter);
        size_t block = rate / 100;
        int16_t out[2048];
        process_int16(filter, block, pcm, out);
        size_t before = allocations;
        for (size_t at = block; at + block <= frames; at += block) process_int16(filter, block, pcm + at, out);
        CHECK(allocations == before);
        destroy(filter);
        /* And the counter counts. */
        CHECK(allocations > before);
        drain(by_label("lean"));
    }
}
#endif

#ifdef LISTENKIT_TEST_HOOKS
static void a_bug_ends_the_listening_not_the_audio(void) {
    void *filter = create(rate, "{\"label\": \"bug\", \"test_panic\": true}", NULL);
    CHECK(filter);
    uint64_t id = by_label("bug");
    play(filter, rate / 100, 0);
    CHECK(info_of(id).state == LISTENKIT_AUDIO_FILTER_STATE_FAILED);
    CHECK(has_text(id, LISTENKIT_AUDIO_FILTER_ERROR, "report it"));
    destroy(filter);
    CHECK(drain(id) == 0);
}
#endif

static double now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report_cost(void) {
    void *filter = create(rate, "{\"label\": \"cost\"}", NULL);
    CHECK(filter);
    size_t block = rate / 100, blocks = frames / block;
    double *took = malloc(blocks * sizeof *took), sum = 0;
    CHECK(took);
    int16_t out[2048];
    for (size_t i = 0; i < blocks; i++) {
        double before = now_us();
        process_int16(filter, block, pcm + i * block, out);
        took[i] = now_us() - before;
        sum += took[i];
    }
    qsort(took, blocks, sizeof *took, ascending);
    printf("a block of 10 ms at %u Hz takes %.1f us in the mean, 99 of 100 no more than %.0f us\n", (unsigned)rate,
           sum / (double)blocks, took[blocks * 99 / 100]);
    free(took);
    destroy(filter);
    drain(by_label("cost"));
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: host liblistenkit.so audio.wav\n");
        return 2;
    }
    load(argv[1]);
    read_wav(argv[2]);
    CHECK(features() & LISTENKIT_FEATURE_AUDIO_FILTER);
    CHECK(on_load("{\"url\": \"wss://example\", \"token\": \"secret\"}") == 0);
    detect();
    events_are_a_detectors_while_another_thread_reads();
    events_can_be_read_after_the_end();
    what_nobody_reads_is_counted_and_the_audio_goes_on();
    wrong_options_are_refused_with_a_reason();
    a_block_that_tells_no_channels_fails_the_filter_not_the_audio();
    a_sample_may_be_split_between_blocks();
    floats_are_heard_too();
    nothing_is_followed_that_is_null();
    two_threads_in_one_filter_lose_blocks_and_say_so();
    turn_queries_are_answered_by_the_reader();
    many_threads_do_not_meet();
#ifdef COUNT_ALLOCATIONS
    hearing_allocates_nothing_after_the_first_block();
#endif
#ifdef LISTENKIT_TEST_HOOKS
    a_bug_ends_the_listening_not_the_audio();
#endif
    report_cost();
    CHECK(listed() == 0);
    free(pcm);
    printf("ok: %zu events, fingerprint %016llx\n", expected.count, (unsigned long long)expected.fingerprint);
    return 0;
}
