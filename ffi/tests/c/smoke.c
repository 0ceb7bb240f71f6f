/* Every part of the library does its work once, on a real recording. smoke FILE.wav (48 kHz, mono, 16-bit, with speech) */
#include "test.h"

/* No struct has padding, in Rust by an assertion of the same sizes, so equal sizes are equal offsets. */
_Static_assert(sizeof(listenkit_event) == 344, "listenkit_event");
_Static_assert(sizeof(listenkit_vote) == 32, "listenkit_vote");
_Static_assert(sizeof(listenkit_format) == 12, "listenkit_format");
_Static_assert(sizeof(listenkit_stats) == 152, "listenkit_stats");
_Static_assert(sizeof(listenkit_detector_options) == 232, "listenkit_detector_options");
_Static_assert(sizeof(listenkit_models_options) == 16 + 6 * sizeof(void *), "listenkit_models_options");
_Static_assert(sizeof(listenkit_detail) == LISTENKIT_DETAIL_LEN, "listenkit_detail");

static void versions(void) {
  unsigned part[3];
  CHECK(sscanf(listenkit_version(), "%u.%u.%u", &part[0], &part[1], &part[2]) == 3);
  CHECK(listenkit_abi_version() == LISTENKIT_ABI_VERSION);
  for (int32_t status = -30; status <= 5; status++) CHECK(listenkit_status_str(status) && *listenkit_status_str(status));
  CHECK(strcmp(listenkit_status_str(LISTENKIT_OK), listenkit_status_str(LISTENKIT_BUSY)));
}

static void segments_come_with_their_audio(const listenkit_models *models, const wav *w) {
  listenkit_detector *detector = test_detector(models, w);
  size_t starts = 0, ends = 0, segments = 0, turns = 0, from = 0, taken = 0;
  int flushed = 0;
  while (!flushed || from < w->len) {
    if (from < w->len) {
      OK(test_push(detector, w, from, w->len - from, &taken));
      from += taken;
    } else {
      OK(listenkit_detector_flush(detector));
      flushed = 1;
    }
    listenkit_event e;
    e.struct_size = sizeof e;
    listenkit_status status;
    while ((status = listenkit_detector_poll(detector, &e)) == LISTENKIT_OK) {
      CHECK(e.sample_rate == w->sample_rate && e.at <= e.decided_at);
      starts += e.kind == LISTENKIT_EVENT_START_OF_SPEECH;
      ends += e.kind == LISTENKIT_EVENT_END_OF_SPEECH;
      turns += e.kind == LISTENKIT_EVENT_END_OF_TURN;
      if (e.kind != LISTENKIT_EVENT_SEGMENT_READY) continue;
      /* What comes back is what went in. */
      segments++;
      size_t len = 0, floats = 0;
      CHECK(e.audio_len == (e.end - e.start) * w->channels);
      OK(listenkit_detector_audio_i16(detector, &e, NULL, 0, &len));
      CHECK(len == e.audio_len);
      int16_t *audio = (int16_t *)malloc(len * sizeof *audio);
      float *scaled = (float *)malloc(len * sizeof *scaled);
      CHECK(audio && scaled);
      OK(listenkit_detector_audio_i16(detector, &e, audio, len, &len));
      OK(listenkit_detector_audio_f32(detector, &e, scaled, len, &floats));
      CHECK(floats == len && !memcmp(audio, w->i16 + e.start * w->channels, len * sizeof *audio));
      for (size_t i = 0; i < len; i++) CHECK(scaled[i] == (float)audio[i] / 32768.0f);
      free(audio);
      free(scaled);
    }
    GIVES(LISTENKIT_EMPTY, status);
  }
  CHECK(starts >= 2 && starts == ends && segments == starts && turns >= 1);
  uint64_t position = 0, turn = 0, delay = 0;
  size_t bytes = 0;
  OK(listenkit_detector_position(detector, &position));
  CHECK(position == w->len / w->channels);
  GIVES(LISTENKIT_EMPTY, listenkit_detector_open_turn(detector, &turn));
  OK(listenkit_detector_delay(detector, &delay));
  CHECK(delay > 0 && delay < w->sample_rate / 10);
  OK(listenkit_detector_state_bytes(detector, &bytes));
  CHECK(bytes > 1000 && bytes < 100000);
  OK(listenkit_detector_retained_bytes(detector, &bytes));
  listenkit_stats stats;
  stats.struct_size = sizeof stats;
  OK(listenkit_detector_stats(detector, &stats));
  CHECK(stats.samples_in == position);
  listenkit_detector_free(detector);
}

static void a_reset_detector_is_as_new(const listenkit_models *models, const wav *w) {
  listenkit_detector *detector = test_detector(models, w);
  (void)test_hear(detector, w, 0, w->len / 2);
  OK(listenkit_detector_reset(detector));
  (void)test_drain(detector);
  (void)test_hear(detector, w, 0, w->len);
  CHECK(test_fingerprint(detector) == test_replay(models, w, 480));
  listenkit_detector_free(detector);
}

/* The first windows of the file, by a resampler, a VAD, a batch and a segmenter. */
static void the_parts_agree_with_each_other(const listenkit_models *models, const wav *w) {
  listenkit_resampler *resampler = NULL;
  OK(listenkit_resampler_new(w->sample_rate, 16000, 0, &resampler, NULL));
  size_t most = 0, tail = 0, taken = 0, len = 0, delay = 0, bytes = 0;
  OK(listenkit_resampler_output_len_max(resampler, w->len, &most));
  OK(listenkit_resampler_delay(resampler, &delay));
  OK(listenkit_resampler_state_bytes(resampler, &bytes));
  int16_t *low = (int16_t *)calloc(most + 1024, sizeof *low);
  CHECK(low);
  OK(listenkit_resampler_process_i16(resampler, w->i16, w->len, low, most, &taken, &len));
  CHECK(taken == w->len && len <= most);
  size_t more = 0;
  OK(listenkit_resampler_tail_len(resampler, &tail));
  OK(listenkit_resampler_flush_i16(resampler, low + len, 1024, &more));
  len += more;
  CHECK(more == tail && len >= w->len / 3 && len <= w->len / 3 + 2 * delay);
  OK(listenkit_resampler_reset(resampler));
  listenkit_resampler_free(resampler);

  listenkit_vad *vad = NULL;
  listenkit_vad_batch *batch = NULL;
  listenkit_segmenter *segmenter = NULL;
  listenkit_detector_options options;
  OK(listenkit_detector_options_init(&options, sizeof options));
  OK(listenkit_vad_new(models, 16000, 1, &vad, NULL));
  OK(listenkit_vad_batch_new(models, 16000, 1, 3, &batch, NULL));
  OK(listenkit_segmenter_new(&options, &segmenter, NULL));
  size_t window = 0, starts = 0, ends = 0;
  OK(listenkit_vad_window_len(vad, &window));
  CHECK(window == 512);
  OK(listenkit_vad_batch_window_len(batch, &window));
  CHECK(window == 512);
  float highest = 0;
  for (size_t at = 0; at + 512 <= len; at += 512) {
    float alone = -1, together[3];
    int16_t windows[3 * 512] = {0};
    memcpy(windows + 1024, low + at, 1024);
    OK(listenkit_vad_probability_i16(vad, low + at, 512, &alone));
    OK(listenkit_vad_batch_probabilities_i16(batch, NULL, 3, windows, 3 * 512, together));
    CHECK(alone >= 0 && alone <= 1 && together[2] == alone && together[0] == together[1]);
    highest = alone > highest ? alone : highest;
    OK(listenkit_segmenter_push(segmenter, at + 512, alone));
    listenkit_event e;
    e.struct_size = sizeof e;
    while (listenkit_segmenter_poll(segmenter, &e) == LISTENKIT_OK) {
      starts += e.kind == LISTENKIT_EVENT_START_OF_SPEECH;
      ends += e.kind == LISTENKIT_EVENT_END_OF_SPEECH;
    }
  }
  OK(listenkit_segmenter_flush(segmenter));
  listenkit_event e;
  e.struct_size = sizeof e;
  while (listenkit_segmenter_poll(segmenter, &e) == LISTENKIT_OK) ends += e.kind == LISTENKIT_EVENT_END_OF_SPEECH;
  CHECK(highest > 0.9f && starts >= 2 && starts == ends);
  OK(listenkit_segmenter_reset(segmenter));
  OK(listenkit_vad_reset(vad));
  OK(listenkit_vad_batch_reset(batch, UINT32_MAX));
  OK(listenkit_vad_state_bytes(vad, &bytes));
  OK(listenkit_vad_batch_state_bytes(batch, &bytes));
  free(low);
  listenkit_segmenter_free(segmenter);
  listenkit_vad_batch_free(batch);
  listenkit_vad_free(vad);
}

/* Queries come at pauses; their audio and the answers find their way. */
static void turn_queries_are_answered(const listenkit_models *models, const wav *w) {
  uint32_t has = 0;
  OK(listenkit_models_has_turn_model(models, &has));
  CHECK((has == 1) == ((listenkit_features() & LISTENKIT_FEATURE_SMART_TURN) != 0));
  listenkit_turn_model *model = NULL;
  listenkit_detail detail = {{0}};
  if (!has) {
    GIVES(LISTENKIT_NO_MODEL, listenkit_turn_model_new(models, &model, &detail));
    CHECK(!model && detail.text[0]);
    return;
  }
  listenkit_detector_options options = test_options(w);
  OK(listenkit_detector_options_policy(&options, LISTENKIT_POLICY_BALANCED));
  listenkit_detector *detector = NULL;
  listenkit_turn_audio *audio = NULL;
  OK(listenkit_detector_new(models, &options, &detector, &detail));
  OK(listenkit_turn_model_new(models, &model, &detail));
  OK(listenkit_turn_audio_new(&audio));
  size_t queries = 0, voted = 0, taken = 0;
  for (size_t from = 0; from < w->len && voted == 0; from += taken) {
    OK(test_push(detector, w, from, w->len - from, &taken));
    listenkit_event e;
    e.struct_size = sizeof e;
    while (listenkit_detector_poll(detector, &e) == LISTENKIT_OK) {
      if (e.kind == LISTENKIT_EVENT_TURN_QUERY) {
        float p = -1, again = -1, samples[8 * 16000];
        size_t len = 0;
        queries++;
        OK(listenkit_detector_turn_audio(detector, &e, audio));
        OK(listenkit_turn_audio_samples(audio, samples, 8 * 16000, &len));
        CHECK(len > 8000);
        OK(listenkit_turn_model_probability(model, audio, &p));
        OK(listenkit_turn_model_probability_f32(model, samples, len, 16000, &again));
        CHECK(p >= 0 && p <= 1 && p == again);
        OK(listenkit_detector_answer_turn(detector, e.query, p));
      }
      voted += e.kind == LISTENKIT_EVENT_END_OF_TURN && e.audio_vote.answers > 0;
    }
  }
  CHECK(queries > 0 && voted > 0);
  listenkit_turn_audio_free(audio);
  listenkit_turn_model_free(model);
  listenkit_detector_free(detector);
}

static void wording_leans(void) {
  float open = 0, closed = 0;
  uint32_t cues = 0;
  OK(listenkit_text_cues_judge("I would like to and", 19, "en", 0, 0, &open, &cues));
  CHECK(cues != 0);
  OK(listenkit_text_cues_judge("Thank you, goodbye.", 19, "en", 0, 0, &closed, &cues));
  CHECK(open < 0 && open < closed);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  wav w = test_wav(argv[1]);
  CHECK(w.i16 && w.sample_rate == 48000 && w.channels == 1);
  versions();
  wording_leans();
  listenkit_models *models = test_models();
  listenkit_detail detail = {{0}};
  OK(listenkit_models_self_test(models, &detail));
  segments_come_with_their_audio(models, &w);
  a_reset_detector_is_as_new(models, &w);
  the_parts_agree_with_each_other(models, &w);
  turn_queries_are_answered(models, &w);
  /* What was made from a set outlives it. */
  listenkit_detector *detector = test_detector(models, &w);
  uint64_t expected = test_replay(models, &w, 480);
  listenkit_models_free(models);
  (void)test_hear(detector, &w, 0, w.len);
  CHECK(test_fingerprint(detector) == expected);
  listenkit_detector_free(detector);
  wav_free(&w);
  puts("smoke: ok");
  return 0;
}
