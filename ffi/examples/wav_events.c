/* What happens in a WAV file, one line per event, and a fingerprint that equals that of `listenkit analyze`.
 *
 *   cc wav_events.c $(pkg-config --cflags --libs listenkit) -o wav_events
 *   ./wav_events call.wav              turns by the built-in turn model
 *   ./wav_events --no-turn-model call.wav     turns by silence alone
 */
#include <inttypes.h>
#include <listenkit.h>

#include "wav.h"

/* A live host runs the turn model on another thread, and the answer comes when it comes (see stream_adapter.cpp). Here it comes
 * 30 ms of audio after the question, as in `listenkit analyze`, so that every run prints the same. */
#define ANSWER_AFTER_MS 30

typedef struct answer {
  uint64_t query, due;
  float probability;
} answer;

typedef struct listener {
  listenkit_detector *detector;
  listenkit_turn_model *model; /* NULL: silence alone decides */
  listenkit_turn_audio *audio;
  answer waiting[16];
  size_t count;
} listener;

static double seconds(const listenkit_event *e, uint64_t samples) { return (double)samples / e->sample_rate; }

static void print(const listenkit_event *e) {
  switch (e->kind) {
    case LISTENKIT_EVENT_START_OF_SPEECH:
      printf("%8.3f s  start of speech   turn %" PRIu64 "\n", seconds(e, e->at), e->turn);
      break;
    case LISTENKIT_EVENT_END_OF_SPEECH:
      printf("%8.3f s  end of speech     turn %" PRIu64 ", %.3f s long\n", seconds(e, e->at), e->turn,
             seconds(e, e->speech_duration));
      break;
    case LISTENKIT_EVENT_SEGMENT_READY:
      printf("%8.3f s  segment ready     turn %" PRIu64 ", to %.3f s\n", seconds(e, e->start), e->turn,
             seconds(e, e->end));
      break;
    case LISTENKIT_EVENT_TURN_PREDICTION:
      printf("%8.3f s  turn prediction   turn %" PRIu64 ", finished by %.0f %%\n", seconds(e, e->decided_at), e->turn,
             100.0 * (double)e->probability);
      break;
    case LISTENKIT_EVENT_END_OF_TURN:
      printf("%8.3f s  end of turn       turn %" PRIu64 ", decided at %.3f s\n", seconds(e, e->last_voiced), e->turn,
             seconds(e, e->decided_at));
      break;
    default: break; /* newer libraries may say more */
  }
}

/* Takes all there is to say, answers the turn queries, and gives the answers that are due. */
static listenkit_status take(listener *l) {
  for (;;) {
    listenkit_event event = {.struct_size = sizeof event};
    listenkit_status status;
    while ((status = listenkit_detector_poll(l->detector, &event)) == LISTENKIT_OK) {
      print(&event);
      if (event.kind == LISTENKIT_EVENT_TURN_QUERY && l->model && l->count < 16) {
        answer *a = &l->waiting[l->count];
        status = listenkit_detector_turn_audio(l->detector, &event, l->audio);
        if (status == LISTENKIT_OK) status = listenkit_turn_model_probability(l->model, l->audio, &a->probability);
        if (status != LISTENKIT_OK) return status;
        a->query = event.query;
        a->due = event.decided_at + (uint64_t)event.sample_rate * ANSWER_AFTER_MS / 1000;
        l->count++;
      }
    }
    if (status != LISTENKIT_EMPTY) return status;
    uint64_t position = 0;
    if ((status = listenkit_detector_position(l->detector, &position)) != LISTENKIT_OK) return status;
    if (l->count == 0 || l->waiting[0].due > position) return LISTENKIT_OK;
    status = listenkit_detector_answer_turn(l->detector, l->waiting[0].query, l->waiting[0].probability);
    if (status != LISTENKIT_OK) return status;
    memmove(l->waiting, l->waiting + 1, --l->count * sizeof l->waiting[0]);
  }
}

/* Hears a block, and stops where an answer is due. */
static listenkit_status hear(listener *l, const wav *w, size_t from, size_t to) {
  listenkit_status status = take(l);
  while (status == LISTENKIT_OK && from < to) {
    size_t len = to - from, taken = 0;
    if (l->count > 0) {
      uint64_t position = 0;
      if ((status = listenkit_detector_position(l->detector, &position)) != LISTENKIT_OK) break;
      uint64_t until_due = (l->waiting[0].due - position) * w->channels;
      if (len > until_due) len = (size_t)until_due;
    }
    status = w->i16 ? listenkit_detector_push_i16(l->detector, w->i16 + from, len, &taken)
                    : listenkit_detector_push_f32(l->detector, w->f32 + from, len, &taken);
    if (status != LISTENKIT_OK) break;
    from += taken;
    status = take(l);
  }
  return status;
}

int main(int argc, char **argv) {
  int use_model = !(argc > 1 && !strcmp(argv[1], "--no-turn-model"));
  if (argc != (use_model ? 2 : 3)) {
    fprintf(stderr, "usage: %s [--no-turn-model] FILE.wav\n", argv[0]);
    return 2;
  }
  const char *path = argv[argc - 1];
  wav w;
  const char *wrong = wav_read(path, &w);
  if (wrong) {
    fprintf(stderr, "%s: %s\n", path, wrong);
    return 1;
  }

  listenkit_models *models = NULL;
  listener l = {0};
  listenkit_detail detail = {{0}};
  listenkit_detector_options options;
  listenkit_status status = listenkit_models_new(NULL, &models, &detail);
  if (status == LISTENKIT_OK) status = listenkit_detector_options_init(&options, sizeof options);
  if (status == LISTENKIT_OK) {
    options.sample_rate = w.sample_rate;
    options.channels = w.channels;
    options.sample_format = w.i16 ? LISTENKIT_I16 : LISTENKIT_F32;
    options.segment_audio = 1; /* segments come out as events too */
    if (use_model && (listenkit_features() & LISTENKIT_FEATURE_SMART_TURN)) {
      status = listenkit_detector_options_policy(&options, LISTENKIT_POLICY_BALANCED);
      if (status == LISTENKIT_OK) status = listenkit_turn_model_new(models, &l.model, &detail);
      if (status == LISTENKIT_OK) status = listenkit_turn_audio_new(&l.audio);
    }
  }
  if (status == LISTENKIT_OK) status = listenkit_detector_new(models, &options, &l.detector, &detail);

  size_t block = w.sample_rate / 100 * w.channels; /* 10 ms, as from a microphone; any size gives the same */
  for (size_t from = 0; status == LISTENKIT_OK && from < w.len; from += block) {
    status = hear(&l, &w, from, from + block < w.len ? from + block : w.len);
  }
  if (status == LISTENKIT_OK) status = listenkit_detector_flush(l.detector);
  if (status == LISTENKIT_OK) status = take(&l);
  uint64_t fingerprint = 0;
  if (status == LISTENKIT_OK) status = listenkit_detector_fingerprint(l.detector, &fingerprint);
  if (status == LISTENKIT_OK) {
    printf("fingerprint %016" PRIx64 "\n", fingerprint);
  } else {
    const char *text = l.detector ? listenkit_detector_detail(l.detector) : detail.text;
    fprintf(stderr, "%s: %s: %s\n", path, listenkit_status_str(status), text);
  }

  listenkit_detector_free(l.detector); /* NULL is fine, in any order */
  listenkit_turn_audio_free(l.audio);
  listenkit_turn_model_free(l.model);
  listenkit_models_free(models);
  wav_free(&w);
  return status == LISTENKIT_OK ? 0 : 1;
}
