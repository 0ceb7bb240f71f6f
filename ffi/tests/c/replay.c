/* Recordings in blocks of several sizes give the fingerprint that the command line gives.
 * replay [--quick] LIST: LIST has lines "fingerprint path", written by fingerprints.sh. */
#include "test.h"

int main(int argc, char **argv) {
  int quick = argc > 2 && !strcmp(argv[1], "--quick");
  CHECK(argc == 2 + quick);
  FILE *list = fopen(argv[argc - 1], "r");
  if (!list) FAIL("%s: cannot be opened", argv[argc - 1]);
  listenkit_models *models = test_models();
  uint64_t expected = 0;
  char path[1024];
  int files = 0, passes = 0;
  while (fscanf(list, "%" SCNx64 " %1023s", &expected, path) == 2) {
    wav w = test_wav(path);
    /* One sample, a prime, 10 ms, a window of the model, longer than any event is apart, all at once. */
    size_t blocks[] = {w.sample_rate / 100, w.len, 1, 7, 512, 100003};
    for (size_t i = 0; i < (quick ? 1 : sizeof blocks / sizeof *blocks); i++) {
      uint64_t got = test_replay(models, &w, blocks[i]);
      if (got != expected) {
        FAIL("%s in blocks of %zu: fingerprint %016" PRIx64 ", the command line gives %016" PRIx64, path, blocks[i], got,
             expected);
      }
      passes++;
    }
    wav_free(&w);
    files++;
  }
  fclose(list);
  CHECK(files > 0);
  listenkit_models_free(models);
  printf("replay: %d files in %d passes: ok\n", files, passes);
  return 0;
}
