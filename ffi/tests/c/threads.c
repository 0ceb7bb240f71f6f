/* Streams on many threads do not touch each other, and two threads on one handle get LISTENKIT_BUSY, not a crash.
 * threads FILE.wav [THREADS STREAMS SECONDS]: default 8 50 18. */
#include <pthread.h>
#include <stdatomic.h>

#include "test.h"

static listenkit_models *models;
static wav file;
static size_t streams = 50, heard;
static uint64_t expected;

/* Feeds all streams 10 ms in turn, each with a lag of its own so that their windows fall apart. */
static void *many_streams(void *unused) {
  (void)unused;
  listenkit_detector **detectors = (listenkit_detector **)calloc(streams, sizeof *detectors);
  size_t *at = (size_t *)calloc(streams, sizeof *at);
  CHECK(detectors && at);
  for (size_t s = 0; s < streams; s++) detectors[s] = test_detector(models, &file);
  for (size_t round = 0, open = streams; open > 0; round++) {
    open = 0;
    for (size_t s = 0; s < streams; s++) {
      size_t step = file.channels * (file.sample_rate / 100 + (s * 37 + round * 11) % 200);
      size_t to = heard - at[s] < step ? heard : at[s] + step;
      (void)test_hear(detectors[s], &file, at[s], to);
      at[s] = to;
      open += to < heard;
    }
  }
  for (size_t s = 0; s < streams; s++) {
    CHECK(test_fingerprint(detectors[s]) == expected);
    listenkit_detector_free(detectors[s]);
  }
  free(detectors);
  free(at);
  return NULL;
}

static listenkit_detector *shared;
static atomic_int busy, done;

static void *one_handle(void *unused) {
  (void)unused;
  for (size_t from = 0; from + 480 <= heard; from += 480) {
    size_t taken = 0;
    uint64_t position = 0;
    listenkit_event event;
    event.struct_size = sizeof event;
    listenkit_status statuses[3] = {test_push(shared, &file, from, 480, &taken), listenkit_detector_poll(shared, &event),
                                    listenkit_detector_position(shared, &position)};
    for (int i = 0; i < 3; i++) {
      listenkit_status s = statuses[i];
      CHECK(s == LISTENKIT_OK || s == LISTENKIT_EMPTY || s == LISTENKIT_BUSY || s == LISTENKIT_OUTPUTS_WAITING);
      if (s == LISTENKIT_BUSY) atomic_fetch_add(&busy, 1);
      else atomic_fetch_add(&done, 1);
    }
  }
  return NULL;
}

static void run(size_t count, void *(*work)(void *)) {
  pthread_t threads[64];
  CHECK(count <= 64);
  for (size_t i = 0; i < count; i++) CHECK(!pthread_create(&threads[i], NULL, work, NULL));
  for (size_t i = 0; i < count; i++) CHECK(!pthread_join(threads[i], NULL));
}

int main(int argc, char **argv) {
  CHECK(argc == 2 || argc == 5);
  size_t threads = argc == 5 ? strtoul(argv[2], NULL, 10) : 8;
  if (argc == 5) streams = strtoul(argv[3], NULL, 10);
  size_t seconds = argc == 5 ? strtoul(argv[4], NULL, 10) : 18;
  file = test_wav(argv[1]);
  heard = file.len / file.channels < seconds * file.sample_rate ? file.len : seconds * file.sample_rate * file.channels;
  models = test_models();

  wav part = file;
  part.len = heard;
  expected = test_replay(models, &part, file.sample_rate / 100);
  run(threads, many_streams);

  shared = test_detector(models, &file);
  run(4, one_handle);
  CHECK(done > 0);
  /* The handle is whole: alone, everything works. */
  OK(listenkit_detector_reset(shared));
  (void)test_drain(shared);
  (void)test_hear(shared, &part, 0, heard);
  CHECK(test_fingerprint(shared) == expected);
  listenkit_detector_free(shared);
  listenkit_models_free(models);
  wav_free(&file);
  printf("threads: %zu x %zu streams agree; one handle: %d calls done, %d refused as busy: ok\n", threads, streams,
         (int)done, (int)busy);
  return 0;
}
