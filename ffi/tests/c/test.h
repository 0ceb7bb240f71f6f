/* What the C tests share. A failed check prints where and ends the program with 1. */
#ifndef TEST_H
#define TEST_H
#include <inttypes.h>
#include <listenkit.h>

#include "../../examples/wav.h"

#define FAIL(...)                                    \
  do {                                               \
    fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);  \
    fprintf(stderr, __VA_ARGS__);                    \
    fputc('\n', stderr);                             \
    exit(1);                                         \
  } while (0)
#define CHECK(condition)                             \
  do {                                               \
    if (!(condition)) FAIL("not so: %s", #condition); \
  } while (0)
/* The call gives that status. */
#define GIVES(expected, call)                                                                            \
  do {                                                                                                   \
    listenkit_status got_ = (call);                                                                      \
    if (got_ != (expected))                                                                              \
      FAIL("%s\n  gives %d (%s), expected %d (%s)", #call, (int)got_, listenkit_status_str(got_), (int)(expected), \
           listenkit_status_str(expected));                                                              \
  } while (0)
#define OK(call) GIVES(LISTENKIT_OK, call)

/* LISTENKIT_TEST_KERNEL (portable, avx2, avx512, neon) says which kernels; without it the best. */
static inline uint32_t test_kernel(void) {
  static const char *const names[] = {"best", "portable", "avx2", "avx512", "neon"};
  const char *name = getenv("LISTENKIT_TEST_KERNEL");
  for (uint32_t i = 0; name && i < 5; i++) {
    if (!strcmp(name, names[i])) return i;
  }
  return LISTENKIT_KERNEL_BEST;
}

static inline listenkit_models *test_models(void) {
  listenkit_models_options options;
  listenkit_models *models = NULL;
  listenkit_detail detail;
  OK(listenkit_models_options_init(&options, sizeof options));
  options.kernel_level = test_kernel();
  listenkit_status status = listenkit_models_new(&options, &models, &detail);
  if (status != LISTENKIT_OK) FAIL("models: %s: %s", listenkit_status_str(status), detail.text);
  return models;
}

static inline wav test_wav(const char *path) {
  wav w;
  const char *wrong = wav_read(path, &w);
  if (wrong) FAIL("%s: %s", path, wrong);
  return w;
}

/* The settings of `listenkit analyze --set turn_model=none` for this file. */
static inline listenkit_detector_options test_options(const wav *w) {
  listenkit_detector_options options;
  OK(listenkit_detector_options_init(&options, sizeof options));
  options.sample_rate = w->sample_rate;
  options.channels = w->channels;
  options.sample_format = w->i16 ? LISTENKIT_I16 : LISTENKIT_F32;
  options.segment_audio = 1;
  return options;
}

static inline listenkit_detector *test_detector(const listenkit_models *models, const wav *w) {
  listenkit_detector *detector = NULL;
  listenkit_detail detail;
  listenkit_detector_options options = test_options(w);
  listenkit_status status = listenkit_detector_new(models, &options, &detector, &detail);
  if (status != LISTENKIT_OK) FAIL("detector: %s: %s", listenkit_status_str(status), detail.text);
  return detector;
}

/* Takes all events; how many there were. */
static inline size_t test_drain(listenkit_detector *detector) {
  size_t count = 0;
  for (;;) {
    listenkit_event event;
    event.struct_size = sizeof event;
    listenkit_status status = listenkit_detector_poll(detector, &event);
    if (status == LISTENKIT_EMPTY) return count;
    OK(status);
    count++;
  }
}

static inline listenkit_status test_push(listenkit_detector *detector, const wav *w, size_t from, size_t len, size_t *taken) {
  return w->i16 ? listenkit_detector_push_i16(detector, w->i16 + from, len, taken)
                : listenkit_detector_push_f32(detector, w->f32 + from, len, taken);
}

/* Hears the values from..to of a file; how many events there were. */
static inline size_t test_hear(listenkit_detector *detector, const wav *w, size_t from, size_t to) {
  size_t events = test_drain(detector);
  while (from < to) {
    size_t taken = 0;
    OK(test_push(detector, w, from, to - from, &taken));
    CHECK(taken <= to - from && taken % w->channels == 0);
    from += taken;
    events += test_drain(detector);
  }
  return events;
}

static inline uint64_t test_fingerprint(listenkit_detector *detector) {
  uint64_t fingerprint = 0;
  OK(listenkit_detector_flush(detector));
  (void)test_drain(detector);
  OK(listenkit_detector_fingerprint(detector, &fingerprint));
  return fingerprint;
}

/* One pass over a file in blocks of `block` samples per channel. */
static inline uint64_t test_replay(const listenkit_models *models, const wav *w, size_t block) {
  listenkit_detector *detector = test_detector(models, w);
  for (size_t from = 0, step = block * w->channels; from < w->len; from += step) {
    (void)test_hear(detector, w, from, w->len - from < step ? w->len : from + step);
  }
  uint64_t fingerprint = test_fingerprint(detector);
  listenkit_detector_free(detector);
  return fingerprint;
}

#endif
