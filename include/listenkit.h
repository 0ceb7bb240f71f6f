/* listenkit: the listening half of a voice agent. PCM in, "the user started, stopped, finished their turn" out.
 *
 * IN ORDER OF USE
 *
 *   1. Weights, once per process. They are inside the library.
 *
 *        listenkit_models *models = NULL;
 *        listenkit_detail why;
 *        if (listenkit_models_new(NULL, &models, &why) != LISTENKIT_OK) {
 *            fprintf(stderr, "%s\n", why.text); ...
 *        }
 *
 *   2. A detector for every stream of audio, with its settings.
 *
 *        listenkit_detector_options options;
 *        listenkit_detector_options_init(&options, sizeof options);
 *        options.sample_rate = 48000;
 *        listenkit_detector *detector = NULL;
 *        if (listenkit_detector_new(models, &options, &detector, &why) != LISTENKIT_OK) { ... }
 *
 *   3. Every block of audio, of any length: push it, poll what there is to say.
 *
 *        listenkit_event event;
 *        event.struct_size = sizeof event;
 *        while (len > 0) {
 *            size_t taken = 0;
 *            if (listenkit_detector_push_i16(detector, samples, len, &taken) != LISTENKIT_OK) { ... }
 *            samples += taken;
 *            len -= taken;
 *            while (listenkit_detector_poll(detector, &event) == LISTENKIT_OK) {
 *                if (event.kind == LISTENKIT_EVENT_END_OF_TURN) { ... }
 *            }
 *        }
 *
 *   4. At the end: flush, poll once more until LISTENKIT_EMPTY, free.
 *
 *        listenkit_detector_flush(detector);
 *        while (listenkit_detector_poll(detector, &event) == LISTENKIT_OK) { ... }
 *        listenkit_detector_free(detector);
 *        listenkit_models_free(models);
 *
 * A TURN MODEL says from the sound of a turn whether it is complete. It takes 25 ms, so it runs on a thread of its own, while the loop
 * above goes on; a next question may come before it has answered, and needs another `audio`.
 *
 *        listenkit_detector_options_policy(&options, LISTENKIT_POLICY_BALANCED);  // before _detector_new
 *        listenkit_turn_model_new(models, &model, &why);                          // one for each thread that asks
 *        listenkit_turn_audio_new(&audio);                                        // room for one question
 *
 *        // where events are polled:
 *        if (event.kind == LISTENKIT_EVENT_TURN_QUERY) listenkit_detector_turn_audio(detector, &event, audio);
 *        // the other thread, which is given `audio` and event.query:
 *        listenkit_turn_model_probability(model, audio, &probability);
 *        // the first thread again, when the answer is there; late or never does no harm:
 *        listenkit_detector_answer_turn(detector, query, probability);
 *
 * UNITS
 *   Positions and durations are samples per channel at the stream's own rate; lengths of buffers are values over all channels. Time
 *   is the number of samples pushed: no clock is read. Settings ending in _ms are milliseconds. Probabilities are 0 to 1. 16-bit
 *   values are divided by 32768; floats have full scale 1.0.
 *
 * OWNERSHIP
 *   handles    are made by _new and the caller's until _free, which takes NULL. Set the variable to NULL first: a _new that
 *              fails leaves it as it was.
 *   inputs     belong to the caller and are read during the call only; nothing keeps a pointer.
 *   outputs    belong to the caller and are written only when the call succeeds (except listenkit_detail, which is written only
 *              when it fails). A buffer that is written must not overlap with one that is read.
 *   texts      from _str and _version are static; from _detail they last until the next call on the handle.
 *   models     may be freed before what was made from them.
 *
 * THREADS
 *   A model set may be used by any number of threads at once. Every other handle by one at a time, any thread, also by functions that
 *   take it const; a second thread inside a handle gets LISTENKIT_BUSY and changes nothing. Different handles do not wait for each other,
 *   but for a moment where a resampler's filter, which streams of the same rates share, is made. _free wants the handle alone:
 *   while another thread is inside it does nothing, and the handle is lost.
 *   The library starts no thread, never calls back, and opens a file only for the paths in listenkit_models_options. What it keeps
 *   beside handles is those filters (and a list of audio filters, in a build that has them). Handles go on working in a child after
 *   fork(), if no other thread was inside the library at that moment.
 *
 * STRUCTS
 *   that begin with struct_size grow at their end in later versions. Set it to sizeof, by the _init function or by hand. A program
 *   that loads the library at run time should compare listenkit_abi_version() with LISTENKIT_ABI_VERSION.
 *
 * ERRORS
 *   are below 0, and a call that fails has changed nothing. What a bug in the library would do to the process it does to one handle:
 *   the call returns LISTENKIT_PANICKED, later ones LISTENKIT_POISONED, _free still works. Two things still end the process: a pointer
 *   or length that is not what it says, and no memory left (a detector may keep max_segment_ms of audio).
 *
 * MACROS
 *   Define LISTENKIT_AUDIO_FILTER to declare what only a library with LISTENKIT_FEATURE_AUDIO_FILTER exports (docs/audio-filter.md).
 *   LISTENKIT_TEST_HOOKS is for the library's own tests. */


#ifndef LISTENKIT_H
#define LISTENKIT_H

/* Made by cbindgen from ffi/src; change the comments there, then: LISTENKIT_WRITE_HEADER=1 cargo test -p listenkit-ffi --test header */

#include <stddef.h>
#include <stdint.h>

/* Grows when a program that was built against an older header could misbehave. Compare with `listenkit_abi_version()`. */
#define LISTENKIT_ABI_VERSION 1

/* Bit of `listenkit_features`: the Smart Turn weights are embedded. */
#define LISTENKIT_FEATURE_SMART_TURN 1

/* Bit of `listenkit_features`: the symbols of a LiveKit audio filter are exported. */
#define LISTENKIT_FEATURE_AUDIO_FILTER 2

/* The call did what it says. */
#define LISTENKIT_OK 0

/* Nothing went wrong, but there is nothing to give: no event is waiting, no turn is open. */
#define LISTENKIT_EMPTY 1

/* Nothing went wrong, but there is nothing to give and never will be: the stream is over. */
#define LISTENKIT_ENDED 2

/* A pointer that must not be NULL is NULL. */
#define LISTENKIT_NULL_POINTER (-1)

/* `struct_size` was not set, is smaller than the first version of the struct, or the struct sets something this library does not know. */
#define LISTENKIT_STRUCT_SIZE (-2)

/* A setting is out of range or contradicts another; the detail names it. */
#define LISTENKIT_CONFIG (-3)

/* The block has a wrong length or format, or lies where the results would; nothing of it was taken. */
#define LISTENKIT_INPUT (-4)

/* Events of an earlier call have to be polled first. */
#define LISTENKIT_OUTPUTS_WAITING (-5)

/* The weights cannot be used; the detail says why. */
#define LISTENKIT_MODEL (-6)

/* Neither the library nor the model set holds these weights. */
#define LISTENKIT_NO_MODEL (-7)

/* A file cannot be read. */
#define LISTENKIT_IO (-8)

/* The caller's buffer is too small; nothing was written. */
#define LISTENKIT_BUFFER_TOO_SMALL (-9)

/* A length that no buffer can have: most often a negative number that became unsigned. */
#define LISTENKIT_TOO_LONG (-10)

/* A pointer is not aligned for what it points to. */
#define LISTENKIT_MISALIGNED (-11)

/* Another thread is inside a call on this handle. */
#define LISTENKIT_BUSY (-12)

/* An earlier call on this handle hit a bug in the library: only `free` is left. */
#define LISTENKIT_POISONED (-13)

/* This call hit a bug in the library. The handle is poisoned; please report it. */
#define LISTENKIT_PANICKED (-14)

/* The pointer is no live handle of this type. Found as far as that is possible. */
#define LISTENKIT_WRONG_HANDLE (-15)

/* The audio asked for is no longer kept. */
#define LISTENKIT_OVERWRITTEN (-16)

/* A number that stands for a choice is none of the choices. */
#define LISTENKIT_VALUE (-17)

/* A text is not UTF-8. */
#define LISTENKIT_UTF8 (-18)

/* Bytes of a `listenkit_detail`. */
#define LISTENKIT_DETAIL_LEN 256

/* Turn model: products of 8-bit numbers, twice as fast as exact and within 0.011 of it on average. */
#define LISTENKIT_PRECISION_FAST 0

/* Turn model: 32-bit floats throughout. */
#define LISTENKIT_PRECISION_EXACT 1

/* The fastest kernels of this machine. */
#define LISTENKIT_KERNEL_BEST 0

/* Plain code, on every machine. */
#define LISTENKIT_KERNEL_PORTABLE 1

/* x86-64 with AVX2 and FMA. */
#define LISTENKIT_KERNEL_AVX2 2

/* x86-64 with AVX-512F. */
#define LISTENKIT_KERNEL_AVX512 3

/* 64-bit ARM. */
#define LISTENKIT_KERNEL_NEON 4

/* "Not set", in durations that may be. */
#define LISTENKIT_NONE_MS UINT32_MAX

/* `downmix_channel`: the mean of all channels. */
#define LISTENKIT_DOWNMIX_AVERAGE UINT32_MAX

/* 0.3 and 2.5 s with a turn model, 0.5 and 3 s without. */
#define LISTENKIT_ENDPOINTING_DEFAULT 0

/* `min_delay_ms` and `max_delay_ms` as they are. */
#define LISTENKIT_ENDPOINTING_FIXED 1

/* The smaller delay is learned from the user's pauses, between the two, with `alpha` as the weight of history. */
#define LISTENKIT_ENDPOINTING_DYNAMIC 2

/* The larger delay below the threshold, the smaller from it on. */
#define LISTENKIT_WAIT_RULE_THRESHOLD 0

/* In between, linear in log-odds from `unfinished_at` to `finished_at`. */
#define LISTENKIT_WAIT_RULE_GRADED 1

/* Of several answers about one pause, the newest counts. */
#define LISTENKIT_ANSWERS_LATEST 0

/* Their mean in log-odds. */
#define LISTENKIT_ANSWERS_MEAN 1

/* The lowest. */
#define LISTENKIT_ANSWERS_MIN 2

/* What `inference.VAD` of LiveKit Agents 1.8.9 does, window for window. For comparing. */
#define LISTENKIT_PRESET_LIVEKIT_CORE 1

/* What the silero plugin of LiveKit Agents 1.8.9 does. For comparing. */
#define LISTENKIT_PRESET_LIVEKIT_PLUGIN 2

/* For quick exchanges: 0.2 to 0.8 s around a threshold of 0.2. */
#define LISTENKIT_POLICY_FAST 1

/* For most agents: 0.3 to 1.5 s around a threshold of 0.5. */
#define LISTENKIT_POLICY_BALANCED 2

/* For people who think while they speak: 0.5 to 3 s around a threshold of 0.7. */
#define LISTENKIT_POLICY_PATIENT 3

/* Probability of one window; only with `report_windows`. Uses: start, end (window), probability. */
#define LISTENKIT_EVENT_WINDOW 1

/* The user began to speak. Uses: at (first sample of speech), segment, turn, probability. */
#define LISTENKIT_EVENT_START_OF_SPEECH 2

/*
 The user stopped, for now; exactly one for every start. Uses: at (end of the last window of speech), segment, turn,
 speech_duration, segment_duration, reason (`LISTENKIT_END_*`).
 */
#define LISTENKIT_EVENT_END_OF_SPEECH 3

/*
 The audio of a segment is complete; only with `segment_audio`. Uses: at and start (first sample), end, speech_start, speech_end,
 speech_duration, segment, part, continues, turn, audio_at, audio_len, reason (`LISTENKIT_END_*`).
 */
#define LISTENKIT_EVENT_SEGMENT_READY 4

/* A vote on the pause has come. Uses: at (end of the last voiced window), turn, votes, expectation, delays, ends_at. */
#define LISTENKIT_EVENT_TURN_PREDICTION 5

/*
 The user is finished. Uses: at and last_voiced, start, turn, wait, votes, expectation, delays, overlap, overlap_reason, reason
 (`LISTENKIT_TURN_END_*`).
 */
#define LISTENKIT_EVENT_END_OF_TURN 6

/* A transcript came for a turn that is over. Uses: at (end of its speech), turn. */
#define LISTENKIT_EVENT_TURN_AMENDED 7

/*
 The stream goes on in another format. Uses: at (in samples of the old rate), decided_at (the same instant in samples of the new
 rate), from, to.
 */
#define LISTENKIT_EVENT_FORMAT_CHANGED 8

/* Audio is missing. Uses: at, duration, concealed. */
#define LISTENKIT_EVENT_GAP 9

/* The user interrupts the agent; only with `overlap`. Uses: at (start of the overlap), segment, turn, overlap facts. */
#define LISTENKIT_EVENT_OVERLAP_CLAIM 10

/*
 The user spoke over the agent and it was no interruption; only with `overlap`. Uses: at, end (of its last voiced window), segment,
 turn, overlap facts, reason (`LISTENKIT_BRIEF_*`).
 */
#define LISTENKIT_EVENT_OVERLAP_BRIEF 11

/* An interruption was followed by no words; only with `overlap`. Uses: at (end of the last voiced window since), segment, turn, claim_at. */
#define LISTENKIT_EVENT_FALSE_INTERRUPTION 12

/* A turn model is asked: answer with `listenkit_detector_answer_turn`, late or never. Uses: query, turn, start, at and last_voiced. */
#define LISTENKIT_EVENT_TURN_QUERY 13

/* No question up to `query` needs an answer any more. Uses: query, turn. */
#define LISTENKIT_EVENT_TURN_QUERY_CANCELLED 14

/* `reason` of a segment: silence lasted `min_silence`. */
#define LISTENKIT_END_SILENCE 0

/* It grew to `max_segment` and was split; only of SEGMENT_READY. */
#define LISTENKIT_END_SPLIT 1

/* End of input. */
#define LISTENKIT_END_FLUSH 2

/* Audio was missing. */
#define LISTENKIT_END_GAP 3

/* The stream changed its format. */
#define LISTENKIT_END_FORMAT_CHANGE 4

/* The detector was reset. */
#define LISTENKIT_END_RESET 5

/* `reason` of a turn: silence alone, no model is in use. */
#define LISTENKIT_TURN_END_SILENCE 0

/* The votes found it complete. */
#define LISTENKIT_TURN_END_COMPLETE 1

/* The votes found it unfinished, and the user did not go on in time. */
#define LISTENKIT_TURN_END_UNFINISHED 2

/* No model answered in time. */
#define LISTENKIT_TURN_END_NO_ANSWER 3

/* The transcript did not come in time. */
#define LISTENKIT_TURN_END_NO_TRANSCRIPT 4

/* It reached `max_turn`. */
#define LISTENKIT_TURN_END_TOO_LONG 5

/* The caller committed it. */
#define LISTENKIT_TURN_END_COMMITTED 6

/* End of input. */
#define LISTENKIT_TURN_END_END_OF_INPUT 7

/* The detector was reset. */
#define LISTENKIT_TURN_END_RESET 8

/* `wait`: for `min_delay`. */
#define LISTENKIT_WAIT_MIN 0

/* For `max_delay`. */
#define LISTENKIT_WAIT_MAX 1

/* For the audio model. */
#define LISTENKIT_WAIT_MODEL 2

/* For the transcript. */
#define LISTENKIT_WAIT_TRANSCRIPT 3

/* For `max_turn`. */
#define LISTENKIT_WAIT_CEILING 4

/* For nothing: the caller or the stream ended it. */
#define LISTENKIT_WAIT_FLUSH 5

/* For the text model. */
#define LISTENKIT_WAIT_TEXT 6

/* For a delay between the two, chosen by the votes. */
#define LISTENKIT_WAIT_GRADED 7

/* `reason` of OVERLAP_BRIEF: the agent's own playback. */
#define LISTENKIT_BRIEF_OWN_VOICE 0

/* Too little speech. */
#define LISTENKIT_BRIEF_TOO_SHORT 1

/* The agent could not be interrupted. */
#define LISTENKIT_BRIEF_PROTECTED 2

/* Too soon after the agent began. */
#define LISTENKIT_BRIEF_GUARD 3

/* Too few words. */
#define LISTENKIT_BRIEF_TOO_FEW_WORDS 4

/* `overlap` of END_OF_TURN: nothing is known of an overlap. */
#define LISTENKIT_OVERLAP_NONE 0

/* All of the turn was spoken over the agent and was no interruption; `overlap_reason` is `LISTENKIT_BRIEF_*`. */
#define LISTENKIT_OVERLAP_BRIEF 1

/* The turn interrupted the agent. */
#define LISTENKIT_OVERLAP_CLAIM 2

/* The dialogue expects anything. */
#define LISTENKIT_EXPECT_FREE 0

/* A yes or a no. */
#define LISTENKIT_EXPECT_YES_NO 1

/* A number that is read out; `digits` says how many, 0 if that is not known. */
#define LISTENKIT_EXPECT_DIGITS 2

/* A word, letter by letter. */
#define LISTENKIT_EXPECT_SPELLING 3

/* An e-mail address. */
#define LISTENKIT_EXPECT_EMAIL 4

/* The user was told to take their time. */
#define LISTENKIT_EXPECT_FLOOR_GRANTED 5

/* 16-bit integers. */
#define LISTENKIT_I16 0

/* 32-bit floats, full scale 1.0. */
#define LISTENKIT_F32 1

/* A position that is not known. */
#define LISTENKIT_UNKNOWN UINT64_MAX

/* `words` of an overlap of which no words are known. */
#define LISTENKIT_UNKNOWN_WORDS UINT32_MAX

/* `listenkit_vad_batch_reset`: every stream. */
#define LISTENKIT_ALL_STREAMS UINT32_MAX

/* The last word is a sound of hesitation: "uh". From here to ELLIPSIS cues speak for an unfinished turn, the rest for a finished one. */
#define LISTENKIT_CUE_FILLER (1 << 0)

/* The last word cannot end a sentence: "and". */
#define LISTENKIT_CUE_OPEN_WORD (1 << 1)

/* The last word seldom ends a sentence: "for". */
#define LISTENKIT_CUE_MAY_GO_ON (1 << 2)

/* The last words open something: "my number is". */
#define LISTENKIT_CUE_OPEN_PHRASE (1 << 3)

/* A number ends in a joint: "three point". */
#define LISTENKIT_CUE_OPEN_NUMBER (1 << 4)

/* Fewer digits than expected. */
#define LISTENKIT_CUE_SHORT_NUMBER (1 << 5)

/* An e-mail address without its end. */
#define LISTENKIT_CUE_OPEN_ADDRESS (1 << 6)

/* A word is being spelt. */
#define LISTENKIT_CUE_SPELLING (1 << 7)

/* A comma, semicolon or colon at the end. */
#define LISTENKIT_CUE_COMMA (1 << 8)

/* A dash at the end. */
#define LISTENKIT_CUE_DASH (1 << 9)

/* Dots at the end. */
#define LISTENKIT_CUE_ELLIPSIS (1 << 10)

/* A full stop or exclamation mark at the end. */
#define LISTENKIT_CUE_FULL_STOP (1 << 11)

/* A question mark or a closing question word at the end. */
#define LISTENKIT_CUE_QUESTION (1 << 12)

/* A form that closes a sentence: "please". */
#define LISTENKIT_CUE_FINAL_FORM (1 << 13)

/* A phrase that hands the turn over: "that's all". */
#define LISTENKIT_CUE_CLOSING (1 << 14)

/* Nothing but a yes or no, where one is expected. */
#define LISTENKIT_CUE_SHORT_ANSWER (1 << 15)

/* At least as many digits as expected. */
#define LISTENKIT_CUE_FULL_NUMBER (1 << 16)

/* A whole e-mail address. */
#define LISTENKIT_CUE_FULL_ADDRESS (1 << 17)

#if defined(LISTENKIT_AUDIO_FILTER)
/* The options as they were given, JSON. */
#define LISTENKIT_AUDIO_FILTER_OPTIONS 1
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The name the options give the filter, `"label"`. */
#define LISTENKIT_AUDIO_FILTER_LABEL 2
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* Why it was refused or stopped listening. */
#define LISTENKIT_AUDIO_FILTER_ERROR 3
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* All that the SDK says about the stream, JSON. */
#define LISTENKIT_AUDIO_FILTER_STREAM_INFO 4
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* Address of the server. */
#define LISTENKIT_AUDIO_FILTER_URL 5
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The room's identifier; may be empty at first. */
#define LISTENKIT_AUDIO_FILTER_ROOM_ID 6
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The room's name. */
#define LISTENKIT_AUDIO_FILTER_ROOM_NAME 7
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* Who is heard. For a stream made from a track instead of a participant, the SDKs name the local participant here: use the track. */
#define LISTENKIT_AUDIO_FILTER_PARTICIPANT_IDENTITY 8
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The participant's identifier. */
#define LISTENKIT_AUDIO_FILTER_PARTICIPANT_ID 9
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The track's identifier. */
#define LISTENKIT_AUDIO_FILTER_TRACK_ID 10
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* The filter hears audio. */
#define LISTENKIT_AUDIO_FILTER_STATE_LIVE 0
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* Its stream is over. */
#define LISTENKIT_AUDIO_FILTER_STATE_ENDED 1
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* It was never made: the options cannot be used, `LISTENKIT_AUDIO_FILTER_ERROR` says why. The stream goes on without it. */
#define LISTENKIT_AUDIO_FILTER_STATE_REFUSED 2
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* It stopped listening, `LISTENKIT_AUDIO_FILTER_ERROR` says why. The stream goes on, the audio passes. */
#define LISTENKIT_AUDIO_FILTER_STATE_FAILED 3
#endif

/* Listens to one stream of audio and says when the user starts, stops and finishes. */
typedef struct listenkit_detector listenkit_detector;

/* A set of model weights. May be used by many threads at once; what is made from it keeps the weights alive. */
typedef struct listenkit_models listenkit_models;

/* Converts a mono stream from one rate to another, with a stated delay and without aliasing. */
typedef struct listenkit_resampler listenkit_resampler;

/* Finds speech in the probabilities of a voice activity model of your own, by the rules that a detector has. */
typedef struct listenkit_segmenter listenkit_segmenter;

/*
 A copy of the audio that a question is about, for the thread that runs the model. Made once, filled again and again with
 `listenkit_detector_turn_audio`.
 */
typedef struct listenkit_turn_audio listenkit_turn_audio;

/* Smart Turn: says from the sound of a turn whether the user is finished. One per thread; the weights are shared. */
typedef struct listenkit_turn_model listenkit_turn_model;

/*
 Silero VAD for one stream: the probability of speech, window by window. Positions, starts, ends and turns are the detector's, or
 a segmenter's.
 */
typedef struct listenkit_vad listenkit_vad;

/*
 Silero VAD for many streams of one thread. Each load of the weights serves many of them, which takes less time than one stream
 after the other; the probabilities are the same to the last bit.
 */
typedef struct listenkit_vad_batch listenkit_vad_batch;

/*
 What a call says: 0 is success, above 0 nothing went wrong but there is nothing to give, below 0 it failed and changed nothing.

 Numbers are never reused. A program should treat one it does not know by its sign.
 */
typedef int32_t listenkit_status;

/* Where weights come from. `listenkit_models_options_init` fills it with: all embedded, fast, best kernels. */
typedef struct listenkit_models_options {
  /* `sizeof` this struct. */
  uint32_t struct_size;
  /* `LISTENKIT_PRECISION_*` of the turn model. */
  uint32_t turn_precision;
  /* `LISTENKIT_KERNEL_*`. Results differ in the last bits between levels; a replay needs the same one. */
  uint32_t kernel_level;
  /* Zero. */
  uint32_t reserved;
  /* A weight file (`.lkw`) of the VAD in memory, or NULL. It is copied. */
  const uint8_t *vad_bytes;
  /* Bytes in it. */
  size_t vad_len;
  /* Path of a weight file of the VAD, UTF-8, or NULL; not looked at if there are bytes. Without both: the embedded weights. */
  const char *vad_path;
  /* A weight file of Smart Turn in memory, or NULL. It is copied. */
  const uint8_t *turn_bytes;
  /* Bytes in it. */
  size_t turn_len;
  /*
   Path of a weight file of Smart Turn, UTF-8, or NULL; not looked at if there are bytes. Without both: the embedded weights, if
   this library has them.
   */
  const char *turn_path;
} listenkit_models_options;

/* Why a function that makes something refused. The caller's own; written only when the call fails, and always ended by a NUL. */
typedef struct listenkit_detail {
  /* UTF-8: what was expected, what came, what to do. */
  char text[LISTENKIT_DETAIL_LEN];
} listenkit_detail;

/* Settings of a detector. `listenkit_detector_options_init` fills in the defaults, given in brackets. Durations are in milliseconds. */
typedef struct listenkit_detector_options {
  /* `sizeof` this struct. */
  uint32_t struct_size;
  /* Samples per second, 4000 to 192000 [16000]. */
  uint32_t sample_rate;
  /* Interleaved channels, 1 to 8 [1]. */
  uint32_t channels;
  /* `LISTENKIT_I16` or `LISTENKIT_F32`: what will be pushed first [I16]. Pushing the other is a change of format. */
  uint32_t sample_format;
  /* Position of the first sample [0]. */
  uint64_t start_at;
  /* Weight of history where the smaller delay is learned, 0 to less than 1 [0.9]. */
  double alpha;
  /* The channel that is listened to, from 0, or `LISTENKIT_DOWNMIX_AVERAGE` [average]. */
  uint32_t downmix_channel;
  /* Weight of history in smoothed probabilities, 0 to less than 1; NaN: no smoothing [NaN]. */
  float smoothing;
  /* A window counts as speech from this probability on, 0 to 1 [0.5]. */
  float activation_threshold;
  /* While the user speaks, above this too; NaN: 0.15 below [NaN]. */
  float deactivation_threshold;
  /* 1: keep the model from going deaf in long noise [1]. */
  uint32_t state_guard;
  /* 1: every window is an event [0]. */
  uint32_t report_windows;
  /* 1: keep the audio of segments; SEGMENT_READY comes out [0]. */
  uint32_t segment_audio;
  /*
   0, or the `LISTENKIT_PRESET_*` whose rules hold where there is no field for them. Set by
   `listenkit_detector_options_preset` [0].
   */
  uint32_t preset;
  /* Speech that starts a segment, 0 to 10 s [50]. */
  uint32_t min_speech_ms;
  /* Silence that ends a segment, 0 to 10 s [250]. */
  uint32_t min_silence_ms;
  /* Audio kept before a segment's speech, 0 to 10 s [500]. */
  uint32_t prefix_padding_ms;
  /* Silence kept after it, at most `min_silence_ms`; or `LISTENKIT_NONE_MS`: all of it [none]. */
  uint32_t tail_padding_ms;
  /* Longest segment, 2 s to 10 min; longer speech is split at a pause [30000]. */
  uint32_t max_segment_ms;
  /* Frames that are this late by `listenkit_detector_clock` are a gap, 32 ms to 1 h [1000]. */
  uint32_t starvation_ms;
  /* Hold the end of a turn for a transcript, up to a minute, or none [none]. */
  uint32_t transcript_wait_ms;
  /* End every turn after this, 1 s to 24 h, or none [none]. */
  uint32_t max_turn_ms;
  /* `LISTENKIT_ENDPOINTING_*` [default]. */
  uint32_t endpointing;
  /* Wait after the last voiced sample if the turn seems complete, up to a minute [500]. */
  uint32_t min_delay_ms;
  /* Wait if it seems unfinished, not below `min_delay_ms` [3000]. */
  uint32_t max_delay_ms;
  /* `LISTENKIT_WAIT_RULE_*` [threshold]. */
  uint32_t wait_rule;
  /* Graded: up to this fused probability, the larger delay [0.02]. */
  float unfinished_at;
  /* Graded: from this one on, the smaller [0.98]. */
  float finished_at;
  /* Weight of the audio model, 0 to 10 [1]. */
  float fusion_audio;
  /* Weight of the text model, 0 to 10 [1]. */
  float fusion_text;
  /* Log-odds of the wording at full lean, 0 to 10 [2.2]. */
  float fusion_cues;
  /* Largest distance of a model from its threshold that counts, in log-odds, 0.1 to 100 [6]. */
  float fusion_limit;
  /* 1: ask an audio model at pauses; TURN_QUERY comes out [0]. */
  uint32_t turn_model;
  /* Below it, the audio model means "not finished", 0 to 1 [0.5]. */
  float turn_threshold;
  /* How long its answer is waited for, up to a minute [1000]. */
  uint32_t turn_timeout_ms;
  /* Silence after which it is asked, up to 10 s [96]. */
  uint32_t turn_query_after_ms;
  /* Silences after which it is asked again, each longer than the one before, or none [none]. */
  uint32_t turn_query_again_ms[3];
  /* `LISTENKIT_ANSWERS_*` [latest]. */
  uint32_t turn_answers;
  /* Audio kept for it, 32 ms to a minute [8000]. */
  uint32_t turn_audio_ms;
  /* 1: compute its features while the user speaks, 263 KB a stream [1]. */
  uint32_t turn_mel_frames;
  /* How long a text model's vote is waited for, up to a minute, or none [none]. */
  uint32_t text_timeout_ms;
  /* A yes or no is expected: turns up to this long are short answers [1000]. */
  uint32_t short_answer_ms;
  /* Smaller delay after those [200]. */
  uint32_t short_min_ms;
  /* Smaller delay while something is dictated [1000]. */
  uint32_t dictation_min_ms;
  /* Larger delay while something is dictated [4000]. */
  uint32_t dictation_max_ms;
  /* Smaller delay while the user has the floor [2000]. */
  uint32_t floor_min_ms;
  /* Larger delay while the user has the floor [8000]. */
  uint32_t floor_max_ms;
  /* 1: judge speech over the agent's [0]. */
  uint32_t overlap;
  /* Voiced speech that makes an interruption, up to 10 s [500]. */
  uint32_t overlap_min_ms;
  /* Words that it needs as well [0]. */
  uint32_t overlap_min_words;
  /* No interruption this soon after the agent began, up to 10 s [300]. */
  uint32_t playback_guard_ms;
  /* An interruption without words is false after this, up to a minute, or none [2000]. */
  uint32_t false_interruption_ms;
  /* Rate of the agent's playback for `listenkit_detector_reference_*`, Hz; 0: not compared [0]. */
  uint32_t reference_rate;
  /* Coherence with the playback that makes an overlap the agent's own voice, 0 to 1 [0.75]. */
  float own_voice_threshold;
} listenkit_detector_options;

/* What a model said about a pause. */
typedef struct listenkit_vote {
  /* Position when the newest answered question was asked. */
  uint64_t asked_at;
  /* Position when the last answer came. */
  uint64_t answered_at;
  /* That the user is finished, 0..1; NaN without a vote. */
  float probability;
  /* Below it, the model means "not finished"; NaN without a vote. */
  float threshold;
  /* Answers in it; 0: the model has not voted. */
  uint32_t answers;
  /* Zero. */
  uint32_t reserved;
} listenkit_vote;

/* What a stream's samples are. */
typedef struct listenkit_format {
  /* Hz. */
  uint32_t sample_rate;
  /* Interleaved channels. */
  uint32_t channels;
  /* `LISTENKIT_I16` or `LISTENKIT_F32`. */
  uint32_t sample_format;
} listenkit_format;

/*
 One thing that is said. A flat record: each kind uses the fields its constant names, the others are 0 (probabilities NaN).

 Positions and durations are samples per channel at `sample_rate`. `decided_at - at` is how much audio the decision took.
 */
typedef struct listenkit_event {
  /* `sizeof` this struct, set before the first poll; it stays. */
  uint32_t struct_size;
  /* `LISTENKIT_EVENT_*`. */
  uint32_t kind;
  /* Why, in the numbers that the kind names. */
  uint32_t reason;
  /* Rate of all positions and durations here, Hz; of FORMAT_CHANGED the new one, though `at` counts in `from.sample_rate`. */
  uint32_t sample_rate;
  /* Where in the audio it happened. */
  uint64_t at;
  /* The last sample that was needed to know it, exclusive. */
  uint64_t decided_at;
  /* First sample of a window, segment, or turn. */
  uint64_t start;
  /* End of a window, segment or overlap, exclusive. */
  uint64_t end;
  /* Number of the segment, from 0. */
  uint64_t segment;
  /* Number of the turn, from 0. */
  uint64_t turn;
  /* Identifier of the question. */
  uint64_t query;
  /* First sample of a segment's speech. */
  uint64_t speech_start;
  /* End of a segment's speech. */
  uint64_t speech_end;
  /* End of the last voiced window of a turn. */
  uint64_t last_voiced;
  /* Voiced windows alone. */
  uint64_t speech_duration;
  /* From start to end of speech, pauses included. */
  uint64_t segment_duration;
  /* Missing samples of a gap. */
  uint64_t duration;
  /* Where a segment's audio lies, for `listenkit_detector_audio_*`. */
  uint64_t audio_at;
  /* Values in it, over all channels. */
  uint64_t audio_len;
  /* Smallest delay in force. */
  uint64_t min_delay;
  /* Largest delay in force. */
  uint64_t max_delay;
  /* The wait that the votes chose. */
  uint64_t chosen_delay;
  /* The wait if there had been no votes. */
  uint64_t silence_delay;
  /* Where the turn ends if nothing more happens. */
  uint64_t ends_at;
  /* When the agent had begun to speak. */
  uint64_t agent_start;
  /* `decided_at` of the claim that was false. */
  uint64_t claim_at;
  /* The audio model's vote. */
  struct listenkit_vote audio_vote;
  /* The text model's vote. */
  struct listenkit_vote text_vote;
  /* Part of the segment, from 0; above 0 only if it was split. */
  uint32_t part;
  /* 1: the next part follows without a gap. */
  uint32_t continues;
  /* 1: the gap was heard as silence and interrupted nothing. */
  uint32_t concealed;
  /* Of the window, the window that decided, or the model; NaN if there is none. */
  float probability;
  /* What the model's probability was compared with; NaN if there is none. */
  float threshold;
  /* From -1 (unfinished) to 1 (finished): the vote of the wording; NaN without one. */
  float cue_lean;
  /* Bits `LISTENKIT_CUE_*`: what was found in the wording. */
  uint32_t cues;
  /* All votes in one number, 0.5 where they are undecided; NaN without any. */
  float fused;
  /* How well the agent's playback explains the overlap, 0..1; NaN without a reference. */
  float coherence;
  /* `LISTENKIT_EXPECT_*`. */
  uint32_t expectation;
  /* Digits that are expected. */
  uint32_t expected_digits;
  /* `LISTENKIT_WAIT_*`: what the decision had been waiting for. */
  uint32_t wait;
  /* `LISTENKIT_OVERLAP_*`. */
  uint32_t overlap;
  /* `LISTENKIT_BRIEF_*` of a brief one. */
  uint32_t overlap_reason;
  /* Words in the overlap, or `LISTENKIT_UNKNOWN_WORDS`. */
  uint32_t words;
  /* Zero. */
  uint32_t reserved;
  /* FORMAT_CHANGED: the format so far. */
  struct listenkit_format from;
  /* FORMAT_CHANGED: the format from here on. */
  struct listenkit_format to;
} listenkit_event;

/* Counters since the detector was made or reset. */
typedef struct listenkit_stats {
  /* `sizeof` this struct, set before the call. */
  uint32_t struct_size;
  /* Probability of the last window. */
  float last_probability;
  /* Position that the last event needed. */
  uint64_t last_event_at;
  /* Samples pushed, per channel, gaps not included. */
  uint64_t samples_in;
  /* Model windows run. */
  uint64_t windows;
  /* Speech segments started. */
  uint64_t segments;
  /* Turns ended. */
  uint64_t turns;
  /* Gaps, concealed or not. */
  uint64_t gaps;
  /* Changes of format. */
  uint64_t format_changes;
  /* Values that were NaN or infinite and were heard as 0. */
  uint64_t non_finite_values;
  /* Values far beyond full scale that were limited. */
  uint64_t limited_values;
  /* Answers to turn queries that came too late or were never asked for. */
  uint64_t stale_answers;
  /* Votes on the text that were ignored. */
  uint64_t stale_votes;
  /* Turns forgotten by `listenkit_detector_clear_turn`. */
  uint64_t cleared_turns;
  /* Transcripts that came late for such a turn. */
  uint64_t dropped_transcripts;
  /* Speech over the agent's that was an interruption. */
  uint64_t overlap_claims;
  /* Speech over the agent's that was not. */
  uint64_t overlap_briefs;
  /* Interruptions without words. */
  uint64_t false_interruptions;
  /* Samples of the agent's playback that were too far ahead to be kept. */
  uint64_t reference_dropped;
  /* Events that were lost because nobody polled them. */
  uint64_t outputs_dropped;
} listenkit_stats;

#if defined(LISTENKIT_AUDIO_FILTER)
/* How a filter does. */
typedef struct listenkit_audio_filter_info {
  /* `sizeof` this struct, set by the caller. */
  uint32_t struct_size;
  /* `LISTENKIT_AUDIO_FILTER_STATE_LIVE`, `_ENDED`, `_REFUSED` or `_FAILED`. */
  uint32_t state;
  /* Hz: of all positions in its events. */
  uint32_t sample_rate;
  /* Interleaved channels; 0 before the first block. */
  uint32_t channels;
  /* Events that find room while nobody reads. */
  uint32_t event_queue;
  /* 0. */
  uint32_t reserved;
  /* Samples heard. */
  uint64_t samples_in;
  /* Digest of all that was heard and said, as of `listenkit_detector_fingerprint`. */
  uint64_t fingerprint;
  /* Events that nobody read in time: the newest, not the oldest, are lost. */
  uint64_t events_dropped;
  /* Blocks that were passed on unheard, because the SDK gave two at a time. */
  uint64_t blocks_lost;
  /* Turn queries without audio, because earlier ones were not read in time. */
  uint64_t turns_without_audio;
} listenkit_audio_filter_info;
#endif

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/* The ABI version of the library that is loaded. */
uint32_t listenkit_abi_version(void);

/* The version of the library that is loaded, "0.1.0". Static. */
const char *listenkit_version(void);

/* What this build of the library holds: bits `LISTENKIT_FEATURE_*`. */
uint32_t listenkit_features(void);

/* What a status means, in a sentence. Static, never NULL, also for numbers that are no status. */
const char *listenkit_status_str(listenkit_status status);

/* Fills `options` with the defaults of this library. `struct_size` is `sizeof(listenkit_models_options)`. */
listenkit_status listenkit_models_options_init(struct listenkit_models_options *options,
                                               size_t struct_size);

/*
 A set of models. `options` may be NULL for the defaults. 2 ms with embedded weights; weights from a file are read and
 checked here.

 Fails with `LISTENKIT_MODEL` (not such weights, damaged, kernel level not on this machine), `LISTENKIT_IO`, `LISTENKIT_VALUE`.
 */
listenkit_status listenkit_models_new(const struct listenkit_models_options *options,
                                      struct listenkit_models **models,
                                      struct listenkit_detail *detail);

/* Ends a model set. NULL is fine. What was made from it works on. */
void listenkit_models_free(struct listenkit_models *models);

/* Whether a turn model can be made from this set: writes 1 or 0. */
listenkit_status listenkit_models_has_turn_model(const struct listenkit_models *models,
                                                 uint32_t *has);

/*
 The kernels that the VAD of this set computes with, `LISTENKIT_KERNEL_PORTABLE` or a later one: what a replay elsewhere has
 to ask for to get the same bits.
 */
listenkit_status listenkit_models_kernel_level(const struct listenkit_models *models,
                                               uint32_t *level);

/* Computes a known signal and compares with reference probabilities, 1 ms: whether this machine computes right. */
listenkit_status listenkit_models_self_test(const struct listenkit_models *models,
                                            struct listenkit_detail *detail);

/* Fills `options` with the defaults of this library. `struct_size` is `sizeof(listenkit_detector_options)`. */
listenkit_status listenkit_detector_options_init(struct listenkit_detector_options *options,
                                                 size_t struct_size);

/* Changes what a preset is about (`LISTENKIT_PRESET_*`: the settings of the VAD and of segments), and leaves the rest. */
listenkit_status listenkit_detector_options_preset(struct listenkit_detector_options *options,
                                                   uint32_t preset);

/*
 Takes over a policy for the end of turns (`LISTENKIT_POLICY_*`: delays, wait rule, weights, and how the turn model is asked), and
 leaves the rest. Turns `turn_model` on; where none is there to answer, set it to 0 again. The numbers hold for Smart Turn v3.2.
 */
listenkit_status listenkit_detector_options_policy(struct listenkit_detector_options *options,
                                                   uint32_t policy);

/*
 A detector for one stream. Allocates here, and again only at a change of format. `options` may be NULL for the defaults. The weights
 stay alive with it; `models` may be freed.

 Fails with `LISTENKIT_CONFIG` or `LISTENKIT_VALUE` if a setting cannot work; the detail names it.
 */
listenkit_status listenkit_detector_new(const struct listenkit_models *models,
                                        const struct listenkit_detector_options *options,
                                        struct listenkit_detector **detector,
                                        struct listenkit_detail *detail);

/* Ends a detector. NULL is fine. Flush it first if the last events matter. */
void listenkit_detector_free(struct listenkit_detector *detector);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_detector_detail(const struct listenkit_detector *detector);

/*
 Hears a block of 16-bit values, interleaved: consumes samples until there is something to say, and writes to `taken` how
 many values. Poll until `LISTENKIT_EMPTY`, then push the rest; 0 taken means poll first. How audio is cut into blocks
 changes nothing. Blocks may have any length that is whole samples.

 Fails with `LISTENKIT_INPUT` (not whole samples, or the format has no `downmix_channel`); nothing was taken then.
 */
listenkit_status listenkit_detector_push_i16(struct listenkit_detector *detector,
                                             const int16_t *samples,
                                             size_t len,
                                             size_t *taken);

/* The same with floats, full scale 1.0; NaN and infinity are heard as 0. */
listenkit_status listenkit_detector_push_f32(struct listenkit_detector *detector,
                                             const float *samples,
                                             size_t len,
                                             size_t *taken);

/* The next event: `LISTENKIT_OK` and it is written, or `LISTENKIT_EMPTY` and nothing is. `event->struct_size` must be set. */
listenkit_status listenkit_detector_poll(struct listenkit_detector *detector,
                                         struct listenkit_event *event);

/*
 What the next block is: another rate (Hz) or number of interleaved channels. Takes effect with that block: open speech ends,
 FORMAT_CHANGED comes out, positions go on in the new rate. Whether it is of 16-bit values or floats is said by the function that
 pushes it.

 Fails with `LISTENKIT_CONFIG` if the library does not hear such audio; the format stays what it was.
 */
listenkit_status listenkit_detector_set_format(struct listenkit_detector *detector,
                                               uint32_t sample_rate,
                                               uint32_t channels);

/*
 Finds speech by other rules from the next window on: of `options` the thresholds, `min_speech_ms`, `min_silence_ms`,
 `prefix_padding_ms` and `tail_padding_ms`; the rest is not looked at. Nothing is interrupted: what has been counted of speech and silence
 goes on counting.

 Fails with `LISTENKIT_CONFIG` or `LISTENKIT_VALUE` if a setting cannot work, or needs more audio than `segment_audio` has room for.
 */
listenkit_status listenkit_detector_tune(struct listenkit_detector *detector,
                                         const struct listenkit_detector_options *options);

/*
 End of input: hears what is still inside, ends open speech and the open turn. Poll until `LISTENKIT_EMPTY`. More audio may
 follow, as a new beginning at the same position.
 */
listenkit_status listenkit_detector_flush(struct listenkit_detector *detector);

/*
 Ends what is open as flush does, then forgets everything. Poll until `LISTENKIT_EMPTY` before anything else: then the detector is as
 new, at its first position and format, whatever `listenkit_detector_set_format` has said, and with the settings of
 `listenkit_detector_tune`.
 */
listenkit_status listenkit_detector_reset(struct listenkit_detector *detector);

#if defined(LISTENKIT_TEST_HOOKS)
/* Makes the next push on this handle hit a bug, to see what then happens. Only with the feature `test-hooks`, which no release has. */
listenkit_status listenkit_detector_test_panic(struct listenkit_detector *detector);
#endif

/*
 Copies the samples of a SEGMENT_READY event, interleaved, at the stream's own rate: `event->audio_len` values. To be called
 before more audio is pushed. Floats become 16-bit values, scaled by 32768, rounded and limited. With `out` NULL and `capacity`
 0 only `*len` is written.

 Fails with `LISTENKIT_OVERWRITTEN` if the audio is gone, `LISTENKIT_VALUE` if the event is of another kind.
 */
listenkit_status listenkit_detector_audio_i16(const struct listenkit_detector *detector,
                                              const struct listenkit_event *event,
                                              int16_t *out,
                                              size_t capacity,
                                              size_t *len);

/* The same as floats, full scale 1.0: 16-bit values are divided by 32768. */
listenkit_status listenkit_detector_audio_f32(const struct listenkit_detector *detector,
                                              const struct listenkit_event *event,
                                              float *out,
                                              size_t capacity,
                                              size_t *len);

/*
 Copies what a turn model should look at for a TURN_QUERY into `audio`, for the thread that runs the model. To be called when the
 event came out, before more audio is pushed.
 */
listenkit_status listenkit_detector_turn_audio(const struct listenkit_detector *detector,
                                               const struct listenkit_event *query,
                                               struct listenkit_turn_audio *audio);

/*
 Answers a TURN_QUERY: `query` is the event's number, `probability` that the user is finished, 0 to 1. One that comes too late does
 no harm.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_answer_turn(struct listenkit_detector *detector,
                                                uint64_t query,
                                                float probability);

/*
 The audio model's threshold from here on, 0 to 1, where it depends on the language.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_turn_threshold(struct listenkit_detector *detector,
                                                   float threshold);

/*
 A text model's vote on the transcript of `turn` so far: `probability` that the user is finished, and its `threshold`. `asked_at` is
 where the stream was when the transcript was put to the model (`listenkit_detector_position`), or `LISTENKIT_UNKNOWN`: just now.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_answer_text(struct listenkit_detector *detector,
                                                uint64_t turn,
                                                float probability,
                                                float threshold,
                                                uint64_t asked_at);

/*
 What the wording of the transcript of `turn` says, as `listenkit_text_cues_judge` gives it: `lean` from -1 (unfinished) to 1.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_text_cues(struct listenkit_detector *detector,
                                              uint64_t turn,
                                              float lean,
                                              uint32_t cues);

/*
 What the dialogue expects the user to say, `LISTENKIT_EXPECT_*`, for the open turn or the next one; `digits` for
 `LISTENKIT_EXPECT_DIGITS`, 0 to 255, 0: not known.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_expect(struct listenkit_detector *detector,
                                           uint32_t expectation,
                                           uint32_t digits);

/*
 A final transcript arrived. `speech_end` is where the speech it covers ended, or `LISTENKIT_UNKNOWN`.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_transcript(struct listenkit_detector *detector,
                                               uint64_t speech_end);

/*
 The agent began to speak.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_agent_started(struct listenkit_detector *detector);

/*
 The agent stopped speaking.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_agent_stopped(struct listenkit_detector *detector);

/*
 Whether what the agent says may be interrupted: 1 or 0. 1 again when it stops.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_agent_interruptible(struct listenkit_detector *detector,
                                                        uint32_t interruptible);

/*
 How many words are known of what the user says over the agent, interim or final.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_words(struct listenkit_detector *detector,
                                          uint32_t words);

/*
 What the speech over the agent's was: 1 an interruption, 0 a backchannel such as "mhm". Only dynamic endpointing uses it.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_interruption(struct listenkit_detector *detector,
                                                 uint32_t interruption);

/*
 The turn is over because the caller says so.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_commit_turn(struct listenkit_detector *detector);

/*
 Forget the turn: no END_OF_TURN follows.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_clear_turn(struct listenkit_detector *detector);

/*
 The next samples are missing: muted or lost. `samples` per channel. Shorter than `min_silence_ms`, they are heard as silence; longer,
 open speech ends here.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_gap(struct listenkit_detector *detector,
                                        uint64_t samples);

/*
 How long ago the audio that comes from here on was spoken, in samples: what packets, network and jitter buffer cost it. 0 until it is
 said; more than a minute counts as one. The wait that ends a turn counts from when the user fell silent, so it is that much shorter here,
 but no shorter than finding the end of speech takes (`min_silence_ms`).

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_audio_age(struct listenkit_detector *detector,
                                              uint64_t samples);

/*
 What the caller's own clock says, in samples of the stream's rate; only its progress counts. If frames stay away for
 `starvation_ms` by it, that is a gap.

 Events may follow: poll. Fails with `LISTENKIT_OUTPUTS_WAITING` if events of earlier calls crowd the queue.
 */
listenkit_status listenkit_detector_clock(struct listenkit_detector *detector,
                                          uint64_t at);

/*
 What the agent plays, when it is handed to the speaker: 16-bit values at `sample_rate` with `channels` interleaved channels. Needs
 `overlap` and `reference_rate` in the options; without, nothing happens. Makes no events.

 Fails with `LISTENKIT_INPUT` (not whole samples, format not supported).
 */
listenkit_status listenkit_detector_reference_i16(struct listenkit_detector *detector,
                                                  const int16_t *samples,
                                                  size_t len,
                                                  uint32_t sample_rate,
                                                  uint32_t channels);

/* The same with floats, full scale 1.0. */
listenkit_status listenkit_detector_reference_f32(struct listenkit_detector *detector,
                                                  const float *samples,
                                                  size_t len,
                                                  uint32_t sample_rate,
                                                  uint32_t channels);

/* Where the stream is: samples so far, gaps included. */
listenkit_status listenkit_detector_position(const struct listenkit_detector *detector,
                                             uint64_t *position);

/*
 A 64-bit digest of every probability and every event so far. Equal inputs give equal digests on the same kernel level, in
 C, Rust and Python alike.
 */
listenkit_status listenkit_detector_fingerprint(const struct listenkit_detector *detector,
                                                uint64_t *fingerprint);

/* Bytes of this stream's state, without the weights, which are shared, and retained audio. */
listenkit_status listenkit_detector_state_bytes(const struct listenkit_detector *detector,
                                                size_t *state_bytes);

/* Bytes of audio this stream may keep, for segments and turn models. */
listenkit_status listenkit_detector_retained_bytes(const struct listenkit_detector *detector,
                                                   size_t *retained_bytes);

/*
 Samples of input beyond the end of a window that are needed to score it, at most: the delay of the resampler. 0 where the stream has
 the VAD's rate.
 */
listenkit_status listenkit_detector_delay(const struct listenkit_detector *detector,
                                          uint64_t *delay);

/* The turn that is open: `LISTENKIT_OK` and its number is written, or `LISTENKIT_EMPTY`. */
listenkit_status listenkit_detector_open_turn(const struct listenkit_detector *detector,
                                              uint64_t *turn);

/* Counters since the detector was made or reset. `stats->struct_size` must be set. */
listenkit_status listenkit_detector_stats(const struct listenkit_detector *detector,
                                          struct listenkit_stats *stats);

/* Room for the audio of one question: 8 s, 0.8 MB. It grows once where `turn_audio_ms` is more. */
listenkit_status listenkit_turn_audio_new(struct listenkit_turn_audio **audio);

/* Ends it. NULL is fine. */
void listenkit_turn_audio_free(struct listenkit_turn_audio *audio);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_turn_audio_detail(const struct listenkit_turn_audio *audio);

/*
 Copies the samples, for a model of the caller's own: mono floats at 16 kHz, full scale 1.0, the newest last. `*len` says how
 many; with `out` NULL and `capacity` 0 that is all it does.
 */
listenkit_status listenkit_turn_audio_samples(const struct listenkit_turn_audio *audio,
                                              float *out,
                                              size_t capacity,
                                              size_t *len);

/*
 A turn model: 20 ms for the first of a model set, room for one computation (a few MB) for each.

 Fails with `LISTENKIT_NO_MODEL` if neither the library nor the set holds the weights.
 */
listenkit_status listenkit_turn_model_new(const struct listenkit_models *models,
                                          struct listenkit_turn_model **model,
                                          struct listenkit_detail *detail);

/* Ends it. NULL is fine. */
void listenkit_turn_model_free(struct listenkit_turn_model *model);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_turn_model_detail(const struct listenkit_turn_model *model);

/*
 Probability that the user is finished, from the audio of a question. 25 ms of one core in fast precision (Zen 4); on a thread
 of its own.

 Fails with `LISTENKIT_INPUT` if there is no audio, as when a transcript opened a turn before anything was heard: leave such a
 question unanswered.
 */
listenkit_status listenkit_turn_model_probability(struct listenkit_turn_model *model,
                                                  const struct listenkit_turn_audio *audio,
                                                  float *probability);

/*
 The same from samples of the caller's own: mono floats, full scale 1.0, the turn so far with the silence at its end; the last
 8 s are looked at. `sample_rate` must be 16000.
 */
listenkit_status listenkit_turn_model_probability_f32(struct listenkit_turn_model *model,
                                                      const float *samples,
                                                      size_t len,
                                                      uint32_t sample_rate,
                                                      float *probability);

/* The same from 16-bit samples. */
listenkit_status listenkit_turn_model_probability_i16(struct listenkit_turn_model *model,
                                                      const int16_t *samples,
                                                      size_t len,
                                                      uint32_t sample_rate,
                                                      float *probability);

/*
 A stream that has heard nothing.

 `sample_rate` is 8000 or 16000 Hz, anything else fails with `LISTENKIT_CONFIG`. `state_guard` is 1 to keep the model from
 going deaf in long noise or music, as detectors do, or 0 for the probabilities of the plain model.
 */
listenkit_status listenkit_vad_new(const struct listenkit_models *models,
                                   uint32_t sample_rate,
                                   uint32_t state_guard,
                                   struct listenkit_vad **vad,
                                   struct listenkit_detail *detail);

/* Ends it. NULL is fine. */
void listenkit_vad_free(struct listenkit_vad *vad);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_vad_detail(const struct listenkit_vad *vad);

/* Samples in a window: 512 at 16 kHz, 256 at 8 kHz, both 32 ms. */
listenkit_status listenkit_vad_window_len(const struct listenkit_vad *vad, size_t *samples);

/*
 Probability, 0 to 1, that the next window of the stream holds speech. Mono; `len` must be the length of a window. Windows lie back to
 back: what was missed should be given as zeros, or the stream reset. Takes ten microseconds or so and allocates nothing.
 */
listenkit_status listenkit_vad_probability_i16(struct listenkit_vad *vad,
                                               const int16_t *window,
                                               size_t len,
                                               float *probability);

/* The same from floats, full scale 1.0. NaN counts as 0; what is far outside is limited. */
listenkit_status listenkit_vad_probability_f32(struct listenkit_vad *vad,
                                               const float *window,
                                               size_t len,
                                               float *probability);

/* Forgets everything that was heard: equal to a new stream. */
listenkit_status listenkit_vad_reset(struct listenkit_vad *vad);

/* Bytes that the handle takes, all in all. The weights are shared and not counted. */
listenkit_status listenkit_vad_state_bytes(const struct listenkit_vad *vad, size_t *bytes);

/*
 Streams that have heard nothing, numbered from 0.

 `sample_rate` is 8000 or 16000 Hz, `state_guard` as for `listenkit_vad_new`, `streams` 1 to 65536. Anything else fails with
 `LISTENKIT_CONFIG`, or `LISTENKIT_VALUE` for `state_guard`. Takes 0.4 MB and `listenkit_vad_batch_state_bytes` for each stream.
 */
listenkit_status listenkit_vad_batch_new(const struct listenkit_models *models,
                                         uint32_t sample_rate,
                                         uint32_t state_guard,
                                         size_t streams,
                                         struct listenkit_vad_batch **batch,
                                         struct listenkit_detail *detail);

/* Ends it. NULL is fine. */
void listenkit_vad_batch_free(struct listenkit_vad_batch *batch);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_vad_batch_detail(const struct listenkit_vad_batch *batch);

/* Samples in a window: 512 at 16 kHz, 256 at 8 kHz, both 32 ms. */
listenkit_status listenkit_vad_batch_window_len(const struct listenkit_vad_batch *batch,
                                                size_t *samples);

/*
 Moves `count` streams on by one window each and writes the probability of each, 0 to 1, in the same order.

 `windows` holds the windows back to back: `windows_len` must be `count` times the length of a window. `streams[i]` is the stream
 that window i belongs to, each at most once, in any order; NULL: window i is that of stream i. Streams that are not named stay as
 they are. Allocates nothing. `probabilities` has room for `count` floats, and overlaps with none of the inputs.

 Fails with `LISTENKIT_INPUT` if a length is wrong, or a stream is unknown or named twice; then no stream has moved.
 */
listenkit_status listenkit_vad_batch_probabilities_i16(struct listenkit_vad_batch *batch,
                                                       const uint32_t *streams,
                                                       size_t count,
                                                       const int16_t *windows,
                                                       size_t windows_len,
                                                       float *probabilities);

/* The same from floats, full scale 1.0. NaN counts as 0; what is far outside is limited. */
listenkit_status listenkit_vad_batch_probabilities_f32(struct listenkit_vad_batch *batch,
                                                       const uint32_t *streams,
                                                       size_t count,
                                                       const float *windows,
                                                       size_t windows_len,
                                                       float *probabilities);

/* Makes a stream forget everything that it heard, or all with `LISTENKIT_ALL_STREAMS`: how a number is given to the next caller. */
listenkit_status listenkit_vad_batch_reset(struct listenkit_vad_batch *batch,
                                           uint32_t stream);

/* Bytes for each stream. What all of them share is 0.4 MB for the batch, and the weights. */
listenkit_status listenkit_vad_batch_state_bytes(const struct listenkit_vad_batch *batch,
                                                 size_t *bytes_per_stream);

/*
 A stream from `from` to `to` Hz, both 4000 to 192000 or `LISTENKIT_CONFIG`.

 With `aligned` 0 the output lags behind the input by `listenkit_resampler_delay` outputs and every 10 ms in give 10 ms out, within one
 sample. With 1 those first outputs are left out: output m lies at input time m / to, n inputs give n * to / from outputs in all,
 rounded up, the last of them by flush. Streams of the same rates share their filter, which takes up to 20 ms to make.
 */
listenkit_status listenkit_resampler_new(uint32_t from,
                                         uint32_t to,
                                         uint32_t aligned,
                                         struct listenkit_resampler **resampler,
                                         struct listenkit_detail *detail);

/* Ends it. NULL is fine. */
void listenkit_resampler_free(struct listenkit_resampler *resampler);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_resampler_detail(const struct listenkit_resampler *resampler);

/* Outputs that `input_len` inputs give at most, wherever the stream stands: the room that lets a call take them all. */
listenkit_status listenkit_resampler_output_len_max(const struct listenkit_resampler *resampler,
                                                    size_t input_len,
                                                    size_t *len);

/* Outputs that a flush has to write now. */
listenkit_status listenkit_resampler_tail_len(const struct listenkit_resampler *resampler,
                                              size_t *len);

/*
 Outputs by which the stream lags behind its input if it is not aligned: 24 from any rate above 16 kHz to 16 kHz (1.5 ms), 0 for equal
 rates.
 */
listenkit_status listenkit_resampler_delay(const struct listenkit_resampler *resampler,
                                           size_t *outputs);

/*
 Takes samples and writes the outputs that they complete; how the stream is cut into calls changes nothing. `*taken` says how
 many of `in_len` inputs were taken: all, if `capacity` is `listenkit_resampler_output_len_max` of them, otherwise as
 many as there was room for. Call again with the rest. An input is taken with all its outputs or not at all, so with less room than
 `listenkit_resampler_output_len_max` of 1 nothing may move. Allocates nothing. After part of a tail was flushed, begins a new stream.

 `input` and `out` must not overlap. Full scale is 1.0. A value that is not finite spoils the outputs next to it, 3 ms, and no others.
 */
listenkit_status listenkit_resampler_process_f32(struct listenkit_resampler *resampler,
                                                 const float *input,
                                                 size_t in_len,
                                                 float *out,
                                                 size_t capacity,
                                                 size_t *taken,
                                                 size_t *written);

/*
 The same for 16-bit values: they go through the filter as floats in blocks of 512, and come out rounded and limited to
 the range. Which blocks these are changes nothing either.
 */
listenkit_status listenkit_resampler_process_i16(struct listenkit_resampler *resampler,
                                                 const int16_t *input,
                                                 size_t in_len,
                                                 int16_t *out,
                                                 size_t capacity,
                                                 size_t *taken,
                                                 size_t *written);

/*
 End of the stream: writes its tail, the outputs that still wait for inputs, which count as zeros. With room for
 `listenkit_resampler_tail_len` one call does; otherwise call again while `*written` equals `capacity`. Then the resampler is as new.
 */
listenkit_status listenkit_resampler_flush_f32(struct listenkit_resampler *resampler,
                                               float *out,
                                               size_t capacity,
                                               size_t *written);

/* The same for 16-bit values. */
listenkit_status listenkit_resampler_flush_i16(struct listenkit_resampler *resampler,
                                               int16_t *out,
                                               size_t capacity,
                                               size_t *written);

/* Forgets everything: the start of a new stream. */
listenkit_status listenkit_resampler_reset(struct listenkit_resampler *resampler);

/* Bytes of this stream's own state. The filter is shared and not counted. */
listenkit_status listenkit_resampler_state_bytes(const struct listenkit_resampler *resampler,
                                                 size_t *bytes);

/*
 A segmenter for windows that begin at `start_at`. `options` may be NULL for the defaults, which are for 16 kHz.

 Of the options it uses `sample_rate`, `start_at`, the thresholds, `min_speech_ms`, `min_silence_ms`, the paddings, `max_segment_ms` and the
 preset. Durations of speech and silence are counted in windows of 32 ms. Smoothing is the caller's.
 */
listenkit_status listenkit_segmenter_new(const struct listenkit_detector_options *options,
                                         struct listenkit_segmenter **segmenter,
                                         struct listenkit_detail *detail);

/* Ends it. NULL is fine. */
void listenkit_segmenter_free(struct listenkit_segmenter *segmenter);

/* What the last failed call on this handle said, UTF-8; empty if none failed. Lasts until the next call on the handle. */
const char *listenkit_segmenter_detail(const struct listenkit_segmenter *segmenter);

/*
 Takes the next window, from the end of the one before it to `window_end`, with the probability that it holds speech. Then poll until
 `LISTENKIT_EMPTY`: the next window is refused with `LISTENKIT_OUTPUTS_WAITING` before.

 Windows should be 32 ms; others count as 32 ms in durations of speech and silence. NaN counts as 0. A window that ends where the one
 before it ended, or earlier, says nothing. Allocates nothing.
 */
listenkit_status listenkit_segmenter_push(struct listenkit_segmenter *segmenter,
                                          uint64_t window_end,
                                          float probability);

/*
 The next event, or `LISTENKIT_EMPTY`. Set `event->struct_size` to its `sizeof` first.

 START_OF_SPEECH, END_OF_SPEECH (exactly one for every start) and SEGMENT_READY come out, each with `turn` 0; `segment_audio` need not be
 set. Of a segment there is the range alone: `audio_len` is 0, the samples are yours.
 */
listenkit_status listenkit_segmenter_poll(struct listenkit_segmenter *segmenter,
                                          struct listenkit_event *event);

/* End of input: open speech ends. Then poll until `LISTENKIT_EMPTY`. More windows may follow, as a new beginning at the same position. */
listenkit_status listenkit_segmenter_flush(struct listenkit_segmenter *segmenter);

/* Ends open speech (reason `LISTENKIT_END_RESET`) and is as new, at `start_at`. Then poll until `LISTENKIT_EMPTY`. */
listenkit_status listenkit_segmenter_reset(struct listenkit_segmenter *segmenter);

/*
 What the wording of a transcript says about the end of a turn: a vote for `listenkit_detector_text_cues`, without a model. Takes
 14 us as a median and at most 0.6 ms, for only the last 500 characters count. Any thread may call it.

 `text` is the user's words of the turn so far, UTF-8, `len` bytes. `language` is a tag such as "en" or "pt-BR" that ends with a NUL, or NULL if
 it is not known. Known are en es fr de it pt nl ru zh ja ko ar hi tr id; in others punctuation, digits and hesitation count. `expectation` is
 `LISTENKIT_EXPECT_*`, with the number of `digits` that are expected, 0 if that is not known.

 `*lean` is from -1 (surely unfinished) over 0 (nothing to go by) to 1 (surely finished); `*cues` the reasons, bits `LISTENKIT_CUE_*`.
 Both are written, or neither. Fails with `LISTENKIT_UTF8`, `LISTENKIT_VALUE`.
 */
listenkit_status listenkit_text_cues_judge(const char *text,
                                           size_t len,
                                           const char *language,
                                           uint32_t expectation,
                                           uint32_t digits,
                                           float *lean,
                                           uint32_t *cues);

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 The filters there are, in the order they were made: live ones, refused ones, and ended ones whose events have not all been
 taken. `*len` says how many; with `ids` NULL and `capacity` 0 that is all it does.
 */
listenkit_status listenkit_audio_filter_list(uint64_t *ids,
                                             size_t capacity,
                                             size_t *len);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 The newest filter of which a text (`LISTENKIT_AUDIO_FILTER_LABEL`, `_TRACK_ID` and so on) is `value`. `LISTENKIT_EMPTY` if there
 is none: an SDK makes the filter when the stream begins.
 */
listenkit_status listenkit_audio_filter_find(uint32_t which,
                                             const char *value,
                                             uint64_t *id);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/* How a filter does. */
listenkit_status listenkit_audio_filter_describe(uint64_t id,
                                                 struct listenkit_audio_filter_info *info);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 A text about a filter, UTF-8 and ended by a NUL. `*len` counts its bytes with the NUL; with `out` NULL and `capacity` 0 that is
 all it does. What is not known is empty.
 */
listenkit_status listenkit_audio_filter_text(uint64_t id,
                                             uint32_t which,
                                             char *out,
                                             size_t capacity,
                                             size_t *len);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 The next event of a filter. `LISTENKIT_EMPTY`: none is waiting. `LISTENKIT_ENDED`: there will be no more, and the filter is now
 forgotten. Any thread may poll; the audio never waits for it.
 */
listenkit_status listenkit_audio_filter_poll(uint64_t id,
                                             struct listenkit_event *event);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 The audio of the turn query that was polled last, `query` by number: for `listenkit_turn_model_probability`. It can be taken once.
 `LISTENKIT_OVERWRITTEN` if another query was polled since, it was taken, or it came without audio.
 */
listenkit_status listenkit_audio_filter_turn_audio(uint64_t id,
                                                   uint64_t query,
                                                   struct listenkit_turn_audio *audio);
#endif

#if defined(LISTENKIT_AUDIO_FILTER)
/*
 The answer of a turn model to a query: the probability that the user is finished. It counts from the next block of audio on; one that comes too
 late does no harm. `LISTENKIT_BUSY` if many answers wait because no audio comes.
 */
listenkit_status listenkit_audio_filter_answer_turn(uint64_t id,
                                                    uint64_t query,
                                                    float answer);
#endif

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* LISTENKIT_H */
