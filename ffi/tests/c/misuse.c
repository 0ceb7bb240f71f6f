/* Calls that are wrong in every way that can be seen from inside are refused with the right status, and write nothing.
 * misuse FILE.wav. With a library that has test hooks, also what happens after a panic. */
#include "test.h"

/* Outputs lie on a painted canvas: after a refusal it must look as before. */
static struct {
  listenkit_models *models;
  listenkit_detector *detector;
  listenkit_turn_audio *audio;
  listenkit_turn_model *model;
  listenkit_vad *vad;
  listenkit_vad_batch *batch;
  listenkit_resampler *resampler;
  listenkit_segmenter *segmenter;
  size_t len, len2;
  uint64_t u64;
  uint32_t u32;
  float f32;
  float floats[1024];
  int16_t shorts[1024];
  union { listenkit_event it; unsigned char room[sizeof(listenkit_event) + 64]; } event;
  union { listenkit_stats it; unsigned char room[sizeof(listenkit_stats) + 64]; } stats;
  union { listenkit_detector_options it; unsigned char room[sizeof(listenkit_detector_options) + 64]; } options;
  union { listenkit_models_options it; unsigned char room[sizeof(listenkit_models_options) + 64]; } models_options;
} out, before;

static unsigned calls;

static void paint(void) {
  memset(&out, 0xA5, sizeof out);
  out.event.it.struct_size = sizeof(listenkit_event);
  out.stats.it.struct_size = sizeof(listenkit_stats);
  memcpy(&before, &out, sizeof out);
}

#define REFUSED(expected, call)                                             \
  do {                                                                      \
    paint();                                                                \
    GIVES(expected, call);                                                  \
    if (memcmp(&out, &before, sizeof out)) FAIL("%s\n  wrote something though it failed", #call); \
    calls++;                                                                \
  } while (0)
#define NULLS(call) REFUSED(LISTENKIT_NULL_POINTER, call)

static listenkit_models *models;
static listenkit_detector *detector;
static listenkit_turn_audio *audio;
static listenkit_turn_model *model; /* NULL if the library has none */
static listenkit_vad *vad;
static listenkit_vad_batch *batch;
static listenkit_resampler *resampler;
static listenkit_segmenter *segmenter;
static listenkit_detail detail;
static int16_t shorts[1024];
static float floats[1024];
static listenkit_event segment, query; /* real ones */

static void every_null_is_refused(void) {
  listenkit_detector_options options;
  OK(listenkit_detector_options_init(&options, sizeof options));
  NULLS(listenkit_models_options_init(NULL, sizeof(listenkit_models_options)));
  NULLS(listenkit_models_new(NULL, NULL, &detail));
  NULLS(listenkit_models_has_turn_model(NULL, &out.u32));
  NULLS(listenkit_models_has_turn_model(models, NULL));
  NULLS(listenkit_models_kernel_level(NULL, &out.u32));
  NULLS(listenkit_models_kernel_level(models, NULL));
  NULLS(listenkit_models_self_test(NULL, &detail));

  NULLS(listenkit_detector_options_init(NULL, sizeof(listenkit_detector_options)));
  NULLS(listenkit_detector_options_preset(NULL, LISTENKIT_PRESET_LIVEKIT_CORE));
  NULLS(listenkit_detector_options_policy(NULL, LISTENKIT_POLICY_FAST));

  NULLS(listenkit_detector_new(NULL, NULL, &out.detector, &detail));
  NULLS(listenkit_detector_new(models, NULL, NULL, &detail));
  NULLS(listenkit_detector_push_i16(NULL, shorts, 160, &out.len));
  NULLS(listenkit_detector_push_i16(detector, NULL, 160, &out.len));
  NULLS(listenkit_detector_push_i16(detector, shorts, 160, NULL));
  NULLS(listenkit_detector_push_f32(NULL, floats, 160, &out.len));
  NULLS(listenkit_detector_push_f32(detector, NULL, 160, &out.len));
  NULLS(listenkit_detector_push_f32(detector, floats, 160, NULL));
  NULLS(listenkit_detector_poll(NULL, &out.event.it));
  NULLS(listenkit_detector_poll(detector, NULL));
  NULLS(listenkit_detector_set_format(NULL, 16000, 1));
  NULLS(listenkit_detector_tune(NULL, &options));
  NULLS(listenkit_detector_tune(detector, NULL));
  NULLS(listenkit_detector_flush(NULL));
  NULLS(listenkit_detector_reset(NULL));
  NULLS(listenkit_detector_audio_i16(NULL, &segment, out.shorts, 1024, &out.len));
  NULLS(listenkit_detector_audio_i16(detector, NULL, out.shorts, 1024, &out.len));
  NULLS(listenkit_detector_audio_i16(detector, &segment, NULL, 1024, &out.len));
  NULLS(listenkit_detector_audio_i16(detector, &segment, out.shorts, 1024, NULL));
  NULLS(listenkit_detector_audio_f32(NULL, &segment, out.floats, 1024, &out.len));
  NULLS(listenkit_detector_audio_f32(detector, NULL, out.floats, 1024, &out.len));
  NULLS(listenkit_detector_audio_f32(detector, &segment, NULL, 1024, &out.len));
  NULLS(listenkit_detector_audio_f32(detector, &segment, out.floats, 1024, NULL));
  NULLS(listenkit_detector_turn_audio(NULL, &query, audio));
  NULLS(listenkit_detector_turn_audio(detector, NULL, audio));
  NULLS(listenkit_detector_turn_audio(detector, &query, NULL));
  NULLS(listenkit_detector_answer_turn(NULL, 0, 0.5f));
  NULLS(listenkit_detector_turn_threshold(NULL, 0.5f));
  NULLS(listenkit_detector_answer_text(NULL, 0, 0.5f, 0.5f, 0));
  NULLS(listenkit_detector_text_cues(NULL, 0, 0.5f, 0));
  NULLS(listenkit_detector_expect(NULL, LISTENKIT_EXPECT_YES_NO, 0));
  NULLS(listenkit_detector_transcript(NULL, 0));
  NULLS(listenkit_detector_agent_started(NULL));
  NULLS(listenkit_detector_agent_stopped(NULL));
  NULLS(listenkit_detector_agent_interruptible(NULL, 1));
  NULLS(listenkit_detector_words(NULL, 1));
  NULLS(listenkit_detector_interruption(NULL, 1));
  NULLS(listenkit_detector_commit_turn(NULL));
  NULLS(listenkit_detector_clear_turn(NULL));
  NULLS(listenkit_detector_gap(NULL, 1));
  NULLS(listenkit_detector_audio_age(NULL, 1));
  NULLS(listenkit_detector_clock(NULL, 1));
  NULLS(listenkit_detector_reference_i16(NULL, shorts, 160, 16000, 1));
  NULLS(listenkit_detector_reference_i16(detector, NULL, 160, 16000, 1));
  NULLS(listenkit_detector_reference_f32(NULL, floats, 160, 16000, 1));
  NULLS(listenkit_detector_reference_f32(detector, NULL, 160, 16000, 1));
  NULLS(listenkit_detector_position(NULL, &out.u64));
  NULLS(listenkit_detector_position(detector, NULL));
  NULLS(listenkit_detector_open_turn(NULL, &out.u64));
  NULLS(listenkit_detector_open_turn(detector, NULL));
  NULLS(listenkit_detector_fingerprint(NULL, &out.u64));
  NULLS(listenkit_detector_fingerprint(detector, NULL));
  NULLS(listenkit_detector_state_bytes(NULL, &out.len));
  NULLS(listenkit_detector_state_bytes(detector, NULL));
  NULLS(listenkit_detector_retained_bytes(NULL, &out.len));
  NULLS(listenkit_detector_retained_bytes(detector, NULL));
  NULLS(listenkit_detector_delay(NULL, &out.u64));
  NULLS(listenkit_detector_delay(detector, NULL));
  NULLS(listenkit_detector_stats(NULL, &out.stats.it));
  NULLS(listenkit_detector_stats(detector, NULL));
  NULLS(listenkit_text_cues_judge(NULL, 3, "en", 0, 0, &out.f32, &out.u32));
  NULLS(listenkit_text_cues_judge("and", 3, "en", 0, 0, NULL, &out.u32));
  NULLS(listenkit_text_cues_judge("and", 3, "en", 0, 0, &out.f32, NULL));

  NULLS(listenkit_turn_audio_new(NULL));
  NULLS(listenkit_turn_audio_samples(NULL, out.floats, 1024, &out.len));
  NULLS(listenkit_turn_audio_samples(audio, NULL, 1024, &out.len));
  NULLS(listenkit_turn_audio_samples(audio, out.floats, 1024, NULL));
  NULLS(listenkit_turn_model_new(NULL, &out.model, &detail));
  NULLS(listenkit_turn_model_new(models, NULL, &detail));
  NULLS(listenkit_turn_model_probability(NULL, audio, &out.f32));
  NULLS(listenkit_turn_model_probability_f32(NULL, floats, 160, 16000, &out.f32));
  NULLS(listenkit_turn_model_probability_i16(NULL, shorts, 160, 16000, &out.f32));
  if (model) {
    NULLS(listenkit_turn_model_probability(model, NULL, &out.f32));
    NULLS(listenkit_turn_model_probability(model, audio, NULL));
    NULLS(listenkit_turn_model_probability_f32(model, NULL, 160, 16000, &out.f32));
    NULLS(listenkit_turn_model_probability_f32(model, floats, 160, 16000, NULL));
    NULLS(listenkit_turn_model_probability_i16(model, NULL, 160, 16000, &out.f32));
    NULLS(listenkit_turn_model_probability_i16(model, shorts, 160, 16000, NULL));
  }

  NULLS(listenkit_vad_new(NULL, 16000, 1, &out.vad, &detail));
  NULLS(listenkit_vad_new(models, 16000, 1, NULL, &detail));
  NULLS(listenkit_vad_window_len(NULL, &out.len));
  NULLS(listenkit_vad_window_len(vad, NULL));
  NULLS(listenkit_vad_probability_i16(NULL, shorts, 512, &out.f32));
  NULLS(listenkit_vad_probability_i16(vad, NULL, 512, &out.f32));
  NULLS(listenkit_vad_probability_i16(vad, shorts, 512, NULL));
  NULLS(listenkit_vad_probability_f32(NULL, floats, 512, &out.f32));
  NULLS(listenkit_vad_probability_f32(vad, NULL, 512, &out.f32));
  NULLS(listenkit_vad_probability_f32(vad, floats, 512, NULL));
  NULLS(listenkit_vad_reset(NULL));
  NULLS(listenkit_vad_state_bytes(NULL, &out.len));
  NULLS(listenkit_vad_state_bytes(vad, NULL));

  NULLS(listenkit_vad_batch_new(NULL, 16000, 1, 2, &out.batch, &detail));
  NULLS(listenkit_vad_batch_new(models, 16000, 1, 2, NULL, &detail));
  NULLS(listenkit_vad_batch_window_len(NULL, &out.len));
  NULLS(listenkit_vad_batch_window_len(batch, NULL));
  NULLS(listenkit_vad_batch_probabilities_i16(NULL, NULL, 2, shorts, 1024, out.floats));
  NULLS(listenkit_vad_batch_probabilities_i16(batch, NULL, 2, NULL, 1024, out.floats));
  NULLS(listenkit_vad_batch_probabilities_i16(batch, NULL, 2, shorts, 1024, NULL));
  NULLS(listenkit_vad_batch_probabilities_f32(NULL, NULL, 2, floats, 1024, out.floats));
  NULLS(listenkit_vad_batch_probabilities_f32(batch, NULL, 2, NULL, 1024, out.floats));
  NULLS(listenkit_vad_batch_probabilities_f32(batch, NULL, 2, floats, 1024, NULL));
  NULLS(listenkit_vad_batch_reset(NULL, 0));
  NULLS(listenkit_vad_batch_state_bytes(NULL, &out.len));
  NULLS(listenkit_vad_batch_state_bytes(batch, NULL));

  NULLS(listenkit_resampler_new(48000, 16000, 0, NULL, &detail));
  NULLS(listenkit_resampler_output_len_max(NULL, 160, &out.len));
  NULLS(listenkit_resampler_output_len_max(resampler, 160, NULL));
  NULLS(listenkit_resampler_tail_len(NULL, &out.len));
  NULLS(listenkit_resampler_tail_len(resampler, NULL));
  NULLS(listenkit_resampler_delay(NULL, &out.len));
  NULLS(listenkit_resampler_delay(resampler, NULL));
  NULLS(listenkit_resampler_process_f32(NULL, floats, 160, out.floats, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_f32(resampler, NULL, 160, out.floats, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_f32(resampler, floats, 160, NULL, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_f32(resampler, floats, 160, out.floats, 1024, NULL, &out.len2));
  NULLS(listenkit_resampler_process_f32(resampler, floats, 160, out.floats, 1024, &out.len, NULL));
  NULLS(listenkit_resampler_process_i16(NULL, shorts, 160, out.shorts, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_i16(resampler, NULL, 160, out.shorts, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_i16(resampler, shorts, 160, NULL, 1024, &out.len, &out.len2));
  NULLS(listenkit_resampler_process_i16(resampler, shorts, 160, out.shorts, 1024, NULL, &out.len2));
  NULLS(listenkit_resampler_process_i16(resampler, shorts, 160, out.shorts, 1024, &out.len, NULL));
  NULLS(listenkit_resampler_flush_f32(NULL, out.floats, 1024, &out.len));
  NULLS(listenkit_resampler_flush_f32(resampler, NULL, 1024, &out.len));
  NULLS(listenkit_resampler_flush_f32(resampler, out.floats, 1024, NULL));
  NULLS(listenkit_resampler_flush_i16(NULL, out.shorts, 1024, &out.len));
  NULLS(listenkit_resampler_flush_i16(resampler, NULL, 1024, &out.len));
  NULLS(listenkit_resampler_flush_i16(resampler, out.shorts, 1024, NULL));
  NULLS(listenkit_resampler_reset(NULL));
  NULLS(listenkit_resampler_state_bytes(NULL, &out.len));
  NULLS(listenkit_resampler_state_bytes(resampler, NULL));

  NULLS(listenkit_segmenter_new(&options, NULL, &detail));
  NULLS(listenkit_segmenter_push(NULL, 512, 0.5f));
  NULLS(listenkit_segmenter_poll(NULL, &out.event.it));
  NULLS(listenkit_segmenter_poll(segmenter, NULL));
  NULLS(listenkit_segmenter_flush(NULL));
  NULLS(listenkit_segmenter_reset(NULL));
}

/* Texts that are never NULL, and frees that take NULL, twice. */
static void null_is_fine_where_it_says_so(void) {
  for (int i = 0; i < 2; i++) {
    listenkit_models_free(NULL);
    listenkit_detector_free(NULL);
    listenkit_turn_audio_free(NULL);
    listenkit_turn_model_free(NULL);
    listenkit_vad_free(NULL);
    listenkit_vad_batch_free(NULL);
    listenkit_resampler_free(NULL);
    listenkit_segmenter_free(NULL);
  }
  CHECK(listenkit_turn_audio_detail(NULL) && listenkit_detector_detail(NULL) && listenkit_turn_model_detail(NULL) && listenkit_vad_detail(NULL) &&
        listenkit_vad_batch_detail(NULL) && listenkit_resampler_detail(NULL) && listenkit_segmenter_detail(NULL));
  CHECK(listenkit_version() && listenkit_status_str(INT32_MIN) && listenkit_status_str(INT32_MAX));
  CHECK(listenkit_abi_version() && listenkit_features() < 8); /* no bit is set in the smallest build */
  /* A refusal needs no detail. */
  REFUSED(LISTENKIT_CONFIG, listenkit_resampler_new(0, 16000, 0, &out.resampler, NULL));
  /* No values need no pointer. */
  size_t taken = 1;
  OK(listenkit_detector_push_i16(detector, NULL, 0, &taken));
  CHECK(taken == 0);
}

/* Calls `f` with every size from 0 to beyond the struct's; smaller ones and larger ones that are not zero behind are refused. */
#define SIZES(member, status_of_fit, call)                                      \
  do {                                                                          \
    for (uint32_t size = 0; size < sizeof out.member.it + 64; size++) {         \
      paint();                                                                  \
      out.member.it.struct_size = size;                                         \
      memcpy(&before, &out, sizeof out);                                        \
      listenkit_status status = (call);                                         \
      if (size < sizeof out.member.it) {                                        \
        GIVES(LISTENKIT_STRUCT_SIZE, status);                                   \
        CHECK(!memcmp(&out, &before, sizeof out));                              \
      } else {                                                                  \
        GIVES(status_of_fit, status);                                           \
        CHECK(!memcmp(out.member.room + size, before.member.room + size, sizeof out.member.room - size)); \
      }                                                                         \
      calls++;                                                                  \
    }                                                                           \
  } while (0)

static void every_struct_size_is_looked_at(const wav *w) {
  SIZES(event, LISTENKIT_EMPTY, listenkit_detector_poll(detector, &out.event.it));
  SIZES(event, LISTENKIT_EMPTY, listenkit_segmenter_poll(segmenter, &out.event.it));
  SIZES(stats, LISTENKIT_OK, listenkit_detector_stats(detector, &out.stats.it));
  for (size_t size = 0; size < sizeof(listenkit_detector_options) + 64; size++) {
    paint();
    listenkit_status status = listenkit_detector_options_init(&out.options.it, size);
    GIVES(size < sizeof(listenkit_detector_options) ? LISTENKIT_STRUCT_SIZE : LISTENKIT_OK, status);
    size_t written = status == LISTENKIT_OK ? size : 0;
    CHECK(!memcmp(out.options.room + written, before.options.room + written, sizeof out.options.room - written));
    /* What `init` gave is accepted as it is; what stands behind it must be zero. */
    listenkit_detector *made = NULL;
    if (status == LISTENKIT_OK) {
      CHECK(out.options.it.struct_size == size);
      OK(listenkit_detector_new(models, &out.options.it, &made, &detail));
      listenkit_detector_free(made);
      if (size > sizeof(listenkit_detector_options)) {
        out.options.room[size - 1] = 1;
        made = NULL;
        GIVES(LISTENKIT_STRUCT_SIZE, listenkit_detector_new(models, &out.options.it, &made, &detail));
        CHECK(!made && detail.text[0]);
      }
    }
    calls++;
  }
  for (size_t size = 0; size < sizeof(listenkit_models_options) + 64; size++) {
    paint();
    listenkit_status status = listenkit_models_options_init(&out.models_options.it, size);
    GIVES(size < sizeof(listenkit_models_options) ? LISTENKIT_STRUCT_SIZE : LISTENKIT_OK, status);
    size_t written = status == LISTENKIT_OK ? size : 0;
    CHECK(!memcmp(out.models_options.room + written, before.models_options.room + written, sizeof out.models_options.room - written));
    calls++;
  }
  for (uint32_t size = 0; size < sizeof(listenkit_detector_options); size++) {
    listenkit_detector_options options;
    OK(listenkit_detector_options_init(&options, sizeof options));
    options.struct_size = size;
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_new(models, &options, &out.detector, &detail));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_segmenter_new(&options, &out.segmenter, &detail));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_tune(detector, &options));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_options_preset(&options, LISTENKIT_PRESET_LIVEKIT_CORE));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_options_policy(&options, LISTENKIT_POLICY_FAST));
  }
  for (uint32_t size = 0; size < sizeof(listenkit_models_options); size++) {
    listenkit_models_options options;
    OK(listenkit_models_options_init(&options, sizeof options));
    options.struct_size = size;
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_models_new(&options, &out.models, &detail));
  }
  for (uint32_t size = 0; size < sizeof(listenkit_event); size++) {
    listenkit_event event = segment;
    event.struct_size = size;
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_audio_i16(detector, &event, out.shorts, 1024, &out.len));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_audio_f32(detector, &event, out.floats, 1024, &out.len));
    REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_turn_audio(detector, &event, audio));
  }
  REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_options_init(&out.options.it, SIZE_MAX));
  REFUSED(LISTENKIT_STRUCT_SIZE, listenkit_detector_options_init(&out.options.it, SIZE_MAX / 2));

  /* A poll that is refused loses no event. */
  listenkit_detector *one = test_detector(models, w);
  listenkit_event event;
  size_t from = 0, taken = 0;
  for (;;) {
    OK(test_push(one, w, from, w->len - from, &taken));
    from += taken;
    event.struct_size = 3;
    GIVES(LISTENKIT_STRUCT_SIZE, listenkit_detector_poll(one, &event));
    event.struct_size = sizeof event;
    if (listenkit_detector_poll(one, &event) == LISTENKIT_OK) break;
    CHECK(from < w->len);
  }
  CHECK(event.kind == LISTENKIT_EVENT_START_OF_SPEECH);
  listenkit_detector_free(one);
}

static void other_handles_are_refused(void) {
#define WRONG(call) REFUSED(LISTENKIT_WRONG_HANDLE, call)
  static uint64_t zeros[1024];
  void *others[] = {models, vad, batch, resampler, segmenter, audio, detector, zeros, (char *)detector + 1};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    void *other = others[i];
    if (other != models) {
      WRONG(listenkit_detector_new((listenkit_models *)other, NULL, &out.detector, &detail));
      WRONG(listenkit_turn_model_new((listenkit_models *)other, &out.model, &detail));
      WRONG(listenkit_vad_new((listenkit_models *)other, 16000, 1, &out.vad, &detail));
      WRONG(listenkit_vad_batch_new((listenkit_models *)other, 16000, 1, 2, &out.batch, &detail));
      WRONG(listenkit_models_self_test((listenkit_models *)other, &detail));
      WRONG(listenkit_models_has_turn_model((listenkit_models *)other, &out.u32));
      WRONG(listenkit_models_kernel_level((listenkit_models *)other, &out.u32));
      listenkit_models_free((listenkit_models *)other);
    }
    if (other != detector) {
      WRONG(listenkit_detector_push_i16((listenkit_detector *)other, shorts, 160, &out.len));
      WRONG(listenkit_detector_poll((listenkit_detector *)other, &out.event.it));
      WRONG(listenkit_detector_flush((listenkit_detector *)other));
      WRONG(listenkit_detector_fingerprint((listenkit_detector *)other, &out.u64));
      WRONG(listenkit_detector_agent_started((listenkit_detector *)other));
      CHECK(listenkit_detector_detail((listenkit_detector *)other));
      listenkit_detector_free((listenkit_detector *)other);
    }
    if (other != vad) {
      WRONG(listenkit_vad_probability_i16((listenkit_vad *)other, shorts, 512, &out.f32));
      CHECK(listenkit_vad_detail((listenkit_vad *)other));
      listenkit_vad_free((listenkit_vad *)other);
    }
    if (other != batch) {
      WRONG(listenkit_vad_batch_reset((listenkit_vad_batch *)other, 0));
      CHECK(listenkit_vad_batch_detail((listenkit_vad_batch *)other));
      listenkit_vad_batch_free((listenkit_vad_batch *)other);
    }
    if (other != resampler) {
      WRONG(listenkit_resampler_reset((listenkit_resampler *)other));
      CHECK(listenkit_resampler_detail((listenkit_resampler *)other));
      listenkit_resampler_free((listenkit_resampler *)other);
    }
    if (other != segmenter) {
      WRONG(listenkit_segmenter_push((listenkit_segmenter *)other, 512, 0.5f));
      CHECK(listenkit_segmenter_detail((listenkit_segmenter *)other));
      listenkit_segmenter_free((listenkit_segmenter *)other);
    }
    if (other != audio) {
      WRONG(listenkit_turn_audio_samples((listenkit_turn_audio *)other, out.floats, 1024, &out.len));
      WRONG(listenkit_detector_turn_audio(detector, &query, (listenkit_turn_audio *)other));
      CHECK(listenkit_turn_audio_detail((listenkit_turn_audio *)other));
      listenkit_turn_audio_free((listenkit_turn_audio *)other);
    }
    WRONG(listenkit_turn_model_probability((listenkit_turn_model *)other, audio, &out.f32));
    CHECK(listenkit_turn_model_detail((listenkit_turn_model *)other));
    listenkit_turn_model_free((listenkit_turn_model *)other);
  }
  if (model) WRONG(listenkit_turn_model_probability(model, (listenkit_turn_audio *)vad, &out.f32));
}

static void lengths_beyond_memory_are_refused(void) {
#define LONG(call) REFUSED(LISTENKIT_TOO_LONG, call)
  const size_t lens[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, SIZE_MAX / 4 + 1};
  for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
    size_t len = lens[i];
    LONG(listenkit_detector_push_i16(detector, shorts, len, &out.len));
    LONG(listenkit_detector_push_f32(detector, floats, len, &out.len));
    LONG(listenkit_detector_reference_i16(detector, shorts, len, 16000, 1));
    LONG(listenkit_detector_reference_f32(detector, floats, len, 16000, 1));
    LONG(listenkit_detector_audio_i16(detector, &segment, out.shorts, len, &out.len));
    LONG(listenkit_detector_audio_f32(detector, &segment, out.floats, len, &out.len));
    LONG(listenkit_turn_audio_samples(audio, out.floats, len, &out.len));
    LONG(listenkit_vad_probability_i16(vad, shorts, len, &out.f32));
    LONG(listenkit_vad_probability_f32(vad, floats, len, &out.f32));
    LONG(listenkit_vad_batch_probabilities_i16(batch, NULL, 2, shorts, len, out.floats));
    LONG(listenkit_vad_batch_probabilities_f32(batch, NULL, 2, floats, len, out.floats));
    LONG(listenkit_resampler_process_f32(resampler, floats, len, out.floats, 1024, &out.len, &out.len2));
    LONG(listenkit_resampler_process_f32(resampler, floats, 160, out.floats, len, &out.len, &out.len2));
    LONG(listenkit_resampler_process_i16(resampler, shorts, len, out.shorts, 1024, &out.len, &out.len2));
    LONG(listenkit_resampler_process_i16(resampler, shorts, 160, out.shorts, len, &out.len, &out.len2));
    LONG(listenkit_resampler_flush_f32(resampler, out.floats, len, &out.len));
    LONG(listenkit_resampler_flush_i16(resampler, out.shorts, len, &out.len));
    if (model) {
      LONG(listenkit_turn_model_probability_f32(model, floats, len, 16000, &out.f32));
      LONG(listenkit_turn_model_probability_i16(model, shorts, len, 16000, &out.f32));
    }
    /* More than any machine can hold, in numbers that are no lengths of memory. */
    paint();
    CHECK(listenkit_vad_batch_probabilities_i16(batch, NULL, len, shorts, 1024, out.floats) < 0);
    CHECK(listenkit_vad_batch_new(models, 16000, 1, len, &out.batch, &detail) < 0);
    CHECK(!memcmp(&out, &before, sizeof out));
  }
  /* On 64-bit machines a text's length fits even so; it is bytes. */
  LONG(listenkit_text_cues_judge("and", SIZE_MAX, NULL, 0, 0, &out.f32, &out.u32));
}

static void misaligned_pointers_are_refused(void) {
#define SLANTED(call) REFUSED(LISTENKIT_MISALIGNED, call)
#define OFF(type, pointer) ((type *)(void *)((char *)(void *)(pointer) + 1))
  SLANTED(listenkit_detector_push_i16(detector, OFF(int16_t, shorts), 160, &out.len));
  SLANTED(listenkit_detector_push_f32(detector, OFF(float, floats), 160, &out.len));
  SLANTED(listenkit_detector_push_i16(detector, shorts, 160, OFF(size_t, &out.len)));
  SLANTED(listenkit_detector_poll(detector, OFF(listenkit_event, &out.event)));
  SLANTED(listenkit_detector_stats(detector, OFF(listenkit_stats, &out.stats)));
  SLANTED(listenkit_detector_position(detector, OFF(uint64_t, &out.u64)));
  SLANTED(listenkit_detector_new(models, OFF(listenkit_detector_options, &out.options), &out.detector, &detail));
  SLANTED(listenkit_detector_new(models, NULL, OFF(listenkit_detector *, &out.detector), &detail));
  SLANTED(listenkit_detector_options_init(OFF(listenkit_detector_options, &out.options), sizeof(listenkit_detector_options)));
  SLANTED(listenkit_models_new(OFF(listenkit_models_options, &out.models_options), &out.models, &detail));
  SLANTED(listenkit_detector_audio_i16(detector, &segment, OFF(int16_t, out.shorts), 512, &out.len));
  SLANTED(listenkit_detector_audio_f32(detector, &segment, OFF(float, out.floats), 512, &out.len));
  SLANTED(listenkit_detector_audio_i16(detector, OFF(listenkit_event, &out.event), out.shorts, 512, &out.len));
  SLANTED(listenkit_turn_audio_samples(audio, OFF(float, out.floats), 512, &out.len));
  SLANTED(listenkit_vad_probability_i16(vad, OFF(int16_t, shorts), 512, &out.f32));
  SLANTED(listenkit_vad_probability_f32(vad, floats, 512, OFF(float, &out.f32)));
  SLANTED(listenkit_vad_batch_probabilities_i16(batch, OFF(uint32_t, out.floats), 2, shorts, 1024, out.floats));
  SLANTED(listenkit_vad_batch_probabilities_f32(batch, NULL, 2, floats, 1024, OFF(float, out.floats)));
  SLANTED(listenkit_resampler_process_f32(resampler, floats, 160, OFF(float, out.floats), 512, &out.len, &out.len2));
  SLANTED(listenkit_resampler_process_i16(resampler, shorts, 160, out.shorts, 512, OFF(size_t, &out.len), &out.len2));
}

static void unknown_choices_are_refused(void) {
#define NO_CHOICE(call) REFUSED(LISTENKIT_VALUE, call)
#define WITH(field, number)                                                                        \
  do {                                                                                             \
    listenkit_detector_options options;                                                            \
    OK(listenkit_detector_options_init(&options, sizeof options));                                 \
    options.turn_model = 1;                                                                        \
    options.field = (number);                                                                      \
    detail.text[0] = 0;                                                                            \
    NO_CHOICE(listenkit_detector_new(models, &options, &out.detector, &detail));                   \
    if (!strstr(detail.text, #field)) FAIL("\"%s\" does not name %s", detail.text, #field);        \
  } while (0)
  const uint32_t numbers[] = {77, UINT32_MAX, INT32_MAX};
  for (size_t i = 0; i < 3; i++) {
    uint32_t number = numbers[i];
    WITH(sample_format, number);
    WITH(state_guard, number);
    WITH(report_windows, number);
    WITH(segment_audio, number);
    WITH(preset, number);
    WITH(endpointing, number);
    WITH(wait_rule, number);
    WITH(turn_model, number);
    WITH(turn_answers, number);
    WITH(turn_mel_frames, number);
    WITH(overlap, number);
    listenkit_models_options with;
    OK(listenkit_models_options_init(&with, sizeof with));
    with.kernel_level = number;
    NO_CHOICE(listenkit_models_new(&with, &out.models, &detail));
    with.kernel_level = 0;
    with.turn_precision = number;
    NO_CHOICE(listenkit_models_new(&with, &out.models, &detail));
    listenkit_detector_options options;
    OK(listenkit_detector_options_init(&options, sizeof options));
    listenkit_detector_options kept = options;
    NO_CHOICE(listenkit_detector_options_preset(&options, number));
    NO_CHOICE(listenkit_detector_options_policy(&options, number));
    CHECK(!memcmp(&options, &kept, sizeof kept));
    NO_CHOICE(listenkit_detector_expect(detector, number, 0));
    NO_CHOICE(listenkit_text_cues_judge("and", 3, NULL, number, 0, &out.f32, &out.u32));
    NO_CHOICE(listenkit_vad_new(models, 16000, number, &out.vad, &detail));
    NO_CHOICE(listenkit_vad_batch_new(models, 16000, number, 2, &out.batch, &detail));
    NO_CHOICE(listenkit_resampler_new(48000, 16000, number, &out.resampler, &detail));
  }
  NO_CHOICE(listenkit_detector_turn_audio(detector, &segment, audio)); /* no query */
  NO_CHOICE(listenkit_detector_audio_i16(detector, &query, out.shorts, 1024, &out.len)); /* no segment */
}

static void numbers_out_of_range_are_refused(void) {
  listenkit_detector_options options;
  OK(listenkit_detector_options_init(&options, sizeof options));
  options.activation_threshold = 2;
  detail.text[0] = 0;
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_new(models, &options, &out.detector, &detail));
  CHECK(strstr(detail.text, "activation_threshold") && strstr(detail.text, "2"));
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_tune(detector, &options));
  CHECK(strstr(listenkit_detector_detail(detector), "activation_threshold"));
  OK(listenkit_detector_options_init(&options, sizeof options));
  options.sample_rate = 3999;
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_new(models, &options, &out.detector, &detail));
  OK(listenkit_detector_options_init(&options, sizeof options));
  options.channels = 9;
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_new(models, &options, &out.detector, &detail));
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_answer_turn(detector, 0, 1.5f));
  CHECK(strstr(listenkit_detector_detail(detector), "1.5"));
  REFUSED(LISTENKIT_CONFIG, listenkit_detector_turn_threshold(detector, -1));
  CHECK(listenkit_detector_set_format(detector, 1, 1) < 0);
  CHECK(listenkit_detector_set_format(detector, 16000, 0) < 0);
  CHECK(listenkit_detector_set_format(detector, 16000, UINT32_MAX) < 0);
  CHECK(listenkit_vad_new(models, 44100, 1, &out.vad, &detail) < 0);
  REFUSED(LISTENKIT_INPUT, listenkit_vad_probability_i16(vad, shorts, 511, &out.f32));
  CHECK(strstr(listenkit_vad_detail(vad), "511"));
  uint32_t twice[2] = {1, 1}, beyond[2] = {0, 2};
  CHECK(listenkit_vad_batch_probabilities_i16(batch, twice, 2, shorts, 1024, out.floats) < 0);
  CHECK(listenkit_vad_batch_probabilities_i16(batch, beyond, 2, shorts, 1024, out.floats) < 0);
  CHECK(listenkit_vad_batch_probabilities_i16(batch, NULL, 2, shorts, 1023, out.floats) < 0);
  CHECK(listenkit_vad_batch_reset(batch, 2) < 0);
  CHECK(listenkit_resampler_new(1, 16000, 0, &out.resampler, &detail) < 0);
  /* Not whole samples of two channels: nothing of it is heard. */
  wav stereo = {16000, 2, 4, shorts, NULL};
  listenkit_detector *two = test_detector(models, &stereo);
  uint64_t position = 1;
  REFUSED(LISTENKIT_INPUT, listenkit_detector_push_i16(two, shorts, 3, &out.len));
  OK(listenkit_detector_position(two, &position));
  CHECK(position == 0);
  listenkit_detector_free(two);
  /* Weights that are none. */
  listenkit_models_options with;
  OK(listenkit_models_options_init(&with, sizeof with));
  with.vad_bytes = (const uint8_t *)shorts;
  with.vad_len = sizeof shorts;
  REFUSED(LISTENKIT_MODEL, listenkit_models_new(&with, &out.models, &detail));
  OK(listenkit_models_options_init(&with, sizeof with));
  with.vad_path = "no/such/file.lkw";
  REFUSED(LISTENKIT_IO, listenkit_models_new(&with, &out.models, &detail));
  CHECK(strstr(detail.text, "no/such/file.lkw"));
  with.vad_path = "\xff\xfe";
  REFUSED(LISTENKIT_UTF8, listenkit_models_new(&with, &out.models, &detail));
  REFUSED(LISTENKIT_UTF8, listenkit_text_cues_judge("\xc3(", 2, NULL, 0, 0, &out.f32, &out.u32));
}

static void audio_that_is_gone_is_said_to_be(const wav *w) {
  listenkit_detector_options options = test_options(w);
  options.max_segment_ms = 2000; /* so that little is kept */
  options.prefix_padding_ms = 100;
  listenkit_detector *one = NULL;
  OK(listenkit_detector_new(models, &options, &one, NULL));
  listenkit_event e;
  e.struct_size = sizeof e;
  e.kind = 0;
  size_t from = 0;
  for (size_t taken = 0; e.kind != LISTENKIT_EVENT_SEGMENT_READY; from += taken) {
    OK(test_push(one, w, from, w->len - from, &taken));
    while (e.kind != LISTENKIT_EVENT_SEGMENT_READY && listenkit_detector_poll(one, &e) == LISTENKIT_OK) {
    }
  }
  size_t len = (size_t)e.audio_len;
  int16_t *room = (int16_t *)calloc(len, 2);
  CHECK(room && len > 1);
  /* Room that is one value too small, then enough; then it is gone. */
  REFUSED(LISTENKIT_BUFFER_TOO_SMALL, listenkit_detector_audio_i16(one, &e, room, len - 1, &out.len));
  REFUSED(LISTENKIT_BUFFER_TOO_SMALL, listenkit_detector_audio_i16(one, &e, out.shorts, 0, &out.len));
  CHECK(room[0] == 0 && room[len - 2] == 0);
  OK(listenkit_detector_audio_i16(one, &e, room, len, &out.len));
  (void)test_hear(one, w, from, w->len);
  memset(room, 0x5A, len * 2);
  REFUSED(LISTENKIT_OVERWRITTEN, listenkit_detector_audio_i16(one, &e, room, len, &out.len));
  for (size_t i = 0; i < len; i++) CHECK(room[i] == 0x5A5A);
  /* Events that nobody gave. */
  e.audio_at = UINT64_MAX;
  CHECK(listenkit_detector_audio_i16(one, &e, room, 1, &out.len) < 0);
  e.audio_at = 0;
  e.start = UINT64_MAX;
  e.end = 0;
  e.audio_len = UINT64_MAX;
  CHECK(listenkit_detector_audio_i16(one, &e, room, 1, &out.len) < 0);
  listenkit_detector_free(one);
  free(room);
}

#ifdef LISTENKIT_TEST_HOOKS
static void after_a_panic_only_free_is_left(const wav *w) {
#define POISONED(call) REFUSED(LISTENKIT_POISONED, call)
  listenkit_detector *poor = test_detector(models, w), *other = test_detector(models, w);
  OK(listenkit_detector_test_panic(poor));
  REFUSED(LISTENKIT_PANICKED, test_push(poor, w, 0, 4800, &out.len));
  CHECK(*listenkit_detector_detail(poor));
  POISONED(test_push(poor, w, 0, 4800, &out.len));
  POISONED(listenkit_detector_poll(poor, &out.event.it));
  POISONED(listenkit_detector_flush(poor));
  POISONED(listenkit_detector_reset(poor));
  POISONED(listenkit_detector_set_format(poor, 16000, 1));
  POISONED(listenkit_detector_answer_turn(poor, 0, 0.5f));
  POISONED(listenkit_detector_commit_turn(poor));
  POISONED(listenkit_detector_gap(poor, 16000));
  POISONED(listenkit_detector_fingerprint(poor, &out.u64));
  POISONED(listenkit_detector_stats(poor, &out.stats.it));
  POISONED(listenkit_detector_position(poor, &out.u64));
  POISONED(listenkit_detector_audio_i16(poor, &segment, out.shorts, 1024, &out.len));
  POISONED(listenkit_detector_turn_audio(poor, &query, audio));
  listenkit_detector_free(poor);
  /* Others are not touched. */
  (void)test_hear(other, w, 0, w->len);
  CHECK(test_fingerprint(other) == test_replay(models, w, 480));
  listenkit_detector_free(other);
}
#endif

int main(int argc, char **argv) {
  CHECK(argc == 2);
  wav w = test_wav(argv[1]);
  CHECK(w.i16);
  models = test_models();
  detector = test_detector(models, &w);
  OK(listenkit_turn_audio_new(&audio));
  if (listenkit_features() & LISTENKIT_FEATURE_SMART_TURN) OK(listenkit_turn_model_new(models, &model, NULL));
  OK(listenkit_vad_new(models, 16000, 1, &vad, NULL));
  OK(listenkit_vad_batch_new(models, 16000, 1, 2, &batch, NULL));
  OK(listenkit_resampler_new(48000, 16000, 0, &resampler, NULL));
  listenkit_detector_options options = test_options(&w);
  OK(listenkit_segmenter_new(&options, &segmenter, NULL));
  segment.struct_size = query.struct_size = sizeof(listenkit_event);
  query.kind = LISTENKIT_EVENT_TURN_QUERY;
  for (size_t from = 0, taken = 0; from < w.len; from += taken) {
    OK(test_push(detector, &w, from, w.len - from, &taken));
    listenkit_event e;
    e.struct_size = sizeof e;
    while (listenkit_detector_poll(detector, &e) == LISTENKIT_OK) {
      if (e.kind == LISTENKIT_EVENT_SEGMENT_READY && !segment.kind) segment = e;
    }
  }
  CHECK(segment.kind == LISTENKIT_EVENT_SEGMENT_READY);
  uint64_t fingerprint = 0, after = 1;
  OK(listenkit_detector_fingerprint(detector, &fingerprint));

  every_null_is_refused();
  null_is_fine_where_it_says_so();
  every_struct_size_is_looked_at(&w);
  other_handles_are_refused();
  lengths_beyond_memory_are_refused();
  misaligned_pointers_are_refused();
  unknown_choices_are_refused();
  numbers_out_of_range_are_refused();
  audio_that_is_gone_is_said_to_be(&w);

  /* None of it has changed what the detector heard. */
  OK(listenkit_detector_fingerprint(detector, &after));
  CHECK(fingerprint == after);
#ifdef LISTENKIT_TEST_HOOKS
  after_a_panic_only_free_is_left(&w);
#else
  puts("misuse: skipped: what follows a panic needs a library with test hooks (-DLISTENKIT_TEST_HOOKS=ON)");
#endif
  listenkit_segmenter_free(segmenter);
  listenkit_resampler_free(resampler);
  listenkit_vad_batch_free(batch);
  listenkit_vad_free(vad);
  listenkit_turn_model_free(model);
  listenkit_turn_audio_free(audio);
  listenkit_detector_free(detector);
  listenkit_models_free(models);
  wav_free(&w);
  printf("misuse: %u wrong calls refused: ok\n", calls);
  return 0;
}
