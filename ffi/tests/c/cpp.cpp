// The C++ header: the same program with and without exceptions, by C++17 and C++20. cpp FILE.wav
#include <array>
#include <cstring>
#include <listenkit.hpp>
#include <type_traits>

#include "../../examples/wav.h"

namespace {

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);  \
      std::exit(1);                                                                 \
    }                                                                               \
  } while (0)

template <class T>
constexpr bool move_only = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
                           !std::is_copy_constructible_v<T> && !std::is_copy_assignable_v<T>;
static_assert(move_only<listenkit::models> && move_only<listenkit::detector> && move_only<listenkit::vad> &&
              move_only<listenkit::vad_batch> && move_only<listenkit::resampler> && move_only<listenkit::segmenter> &&
              move_only<listenkit::turn_model> && move_only<listenkit::turn_audio>);
static_assert(sizeof(listenkit::detector) == sizeof(void *));
// A view of floats is none of integers, and what may not be written gives no view to write to.
using shorts = std::vector<std::int16_t>;
static_assert(std::is_convertible_v<shorts &, listenkit::span<const std::int16_t>>);
static_assert(std::is_convertible_v<std::array<float, 3> &, listenkit::span<float>>);
static_assert(!std::is_convertible_v<shorts &, listenkit::span<const float>>);
static_assert(!std::is_convertible_v<const shorts &, listenkit::span<std::int16_t>>);
static_assert(!std::is_convertible_v<shorts, listenkit::span<std::int16_t>>);

listenkit::detector_options options_of(const wav &file) {
  listenkit::detector_options options;
  options.sample_rate = file.sample_rate;
  options.channels = file.channels;
  options.segment_audio = 1;
  return options;
}

void a_detector_tells_its_visitor_everything(const listenkit::models &models, const wav &file) {
  auto detector = listenkit::detector::create(models, options_of(file)).value();
  int starts = 0, ends = 0, segments = 0, turns = 0;
  auto hear = [&](const listenkit::event &e) {
    starts += e.kind == LISTENKIT_EVENT_START_OF_SPEECH;
    ends += e.kind == LISTENKIT_EVENT_END_OF_SPEECH;
    turns += e.kind == LISTENKIT_EVENT_END_OF_TURN;
    if (e.kind == LISTENKIT_EVENT_SEGMENT_READY) {
      segments++;
      const auto audio = detector.audio_i16(e).value();
      CHECK(audio.size() == e.end - e.start);
      CHECK(std::memcmp(audio.data(), file.i16 + e.start, audio.size() * 2) == 0);
      std::vector<float> floats(audio.size());
      CHECK(detector.audio(e, floats).value() == audio.size());
      CHECK(detector.audio_f32(e).value() == floats);
      CHECK(listenkit::seconds(e, e.at) < 60.0);
      // Room for one value less.
      CHECK(detector.audio(e, listenkit::span<float>(floats.data(), floats.size() - 1)).status() ==
            listenkit::status::buffer_too_small);
    }
  };
  const shorts block(file.i16, file.i16 + file.len);
  detector.process(block, hear).value();
  detector.flush(hear).value();
  CHECK(starts >= 2 && starts == ends && segments == starts && turns > 0);
  CHECK(detector.position().value() == file.len);
  CHECK(!detector.open_turn().value());
  CHECK(detector.stats().value().samples_in == file.len);
  CHECK(detector.state_bytes().value() > 1000 && detector.retained_bytes().value() > 1000 && detector.delay().value() > 0);
  const auto whole = detector.fingerprint().value();

  // In blocks of 10 ms, with a loop of one's own, and after a reset: the same.
  auto nothing = [](const listenkit::event &) {};
  detector.reset(nothing).value();
  for (std::size_t at = 0; at < file.len; at += 480) {
    detector.process({file.i16 + at, file.len - at < 480 ? file.len - at : 480}, nothing).value();
  }
  detector.flush(nothing).value();
  CHECK(detector.fingerprint().value() == whole);
  detector.reset(nothing).value();
  for (std::size_t at = 0; at < file.len;) {
    at += detector.push({file.i16 + at, file.len - at}).value();
    while (detector.poll().value()) {
    }
  }
  detector.flush(nothing).value();
  CHECK(detector.fingerprint().value() == whole);
}

void failures_say_what_is_wrong(const listenkit::models &models) {
  listenkit::detector_options options;
  options.activation_threshold = 2;
  auto made = listenkit::detector::create(models, options);
  CHECK(!made && !made.ok() && made.status() == listenkit::status::config);
  CHECK(made.failure().detail().find("activation_threshold") != std::string::npos);
  CHECK(made.failure().message().find(listenkit::to_string(listenkit::status::config)) == 0);
  CHECK(!options.policy(99) && options.policy(99).status() == listenkit::status::value);

  auto detector = listenkit::detector::create(models, listenkit::detector_options()).value();
  auto answered = detector.answer_turn(0, 1.5F);
  CHECK(!answered && answered.failure().detail().find("1.5") != std::string::npos);

  // What was moved from refuses; what was moved to goes on.
  auto moved = std::move(detector);
  auto nothing = [](const listenkit::event &) {};
  CHECK(!detector && moved);  // NOLINT: that is the question
  CHECK(detector.process(shorts(160), nothing).status() == listenkit::status::null_pointer);
  CHECK(detector.position().status() == listenkit::status::null_pointer);
  CHECK(moved.process(shorts(160), nothing));
  CHECK(moved.process(std::vector<float>(160), nothing));
  CHECK(moved.gap(10) && moved.agent_started() && moved.agent_stopped() && moved.transcript() && moved.drain(nothing));
  CHECK(moved.expect(LISTENKIT_EXPECT_DIGITS, 4) && moved.set_format(8000, 2));
  auto tuned = listenkit::detector_options();
  tuned.min_silence_ms = 400;
  CHECK(moved.tune(tuned) && moved.tune(options).status() == listenkit::status::config);

#if !defined(LISTENKIT_NO_EXCEPTIONS)
  try {
    listenkit::detector::create(models, options).value();
    CHECK(false);
  } catch (const listenkit::error &e) {
    CHECK(e.code() == listenkit::status::config);
    CHECK(std::strstr(e.what(), "activation_threshold"));
  }
  // What a visitor throws comes through, and the detector lives.
  struct stop {};
  listenkit::detector_options windows;
  windows.report_windows = 1;
  auto loud = listenkit::detector::create(models, windows).value();
  int thrown = 0;
  try {
    (void)loud.process(shorts(16000), [](const listenkit::event &) { throw stop(); });
  } catch (stop) {
    thrown++;
  }
  CHECK(thrown == 1 && loud.position().value() < 16000 && loud.process(shorts(16000), nothing));
#endif
}

void the_parts_work(const listenkit::models &models, const wav &file) {
  CHECK(models.self_test());
  auto resampler = listenkit::resampler::create(file.sample_rate, 16000, false).value();
  const listenkit::span<const std::int16_t> in(file.i16, file.len);
  shorts low(resampler.output_len_max(file.len).value());
  const auto progress = resampler.process(in, low).value();
  CHECK(progress.taken == file.len);
  low.resize(progress.written);
  shorts tail(resampler.tail_len().value() + 1);
  CHECK(resampler.flush(tail).value() < tail.size());

  auto vad = listenkit::vad::create(models, 16000).value();
  auto batch = listenkit::vad_batch::create(models, 16000, 2).value();
  auto segmenter = listenkit::segmenter::create(listenkit::detector_options()).value();
  const auto window = vad.window_len().value();
  CHECK(window == 512 && batch.window_len().value() == window);
  int starts = 0, ends = 0;
  auto count = [&](const listenkit::event &e) {
    starts += e.kind == LISTENKIT_EVENT_START_OF_SPEECH;
    ends += e.kind == LISTENKIT_EVENT_END_OF_SPEECH;
  };
  for (std::size_t at = 0; at + window <= low.size(); at += window) {
    const auto alone = vad.probability(listenkit::span<const std::int16_t>(&low[at], window)).value();
    std::array<float, 1> second{};
    const std::array<std::uint32_t, 1> who{1};
    batch.process(who, {&low[at], window}, second).value();
    CHECK(second[0] == alone);
    segmenter.push(at + window, alone, count).value();
  }
  segmenter.flush(count).value();
  CHECK(starts >= 2 && starts == ends);
  std::array<float, 2> uneven{};
  const std::array<std::uint32_t, 1> one{0};
  CHECK(batch.process(one, {&low[0], window}, uneven).status() == listenkit::status::input);
  CHECK(vad.reset() && batch.reset_all() && resampler.reset() && segmenter.reset(count));
}

void turn_queries_carry_their_audio(const listenkit::models &models, const wav &file) {
  if (!models.has_turn_model().value()) {
    CHECK(listenkit::turn_model::create(models).status() == listenkit::status::no_model);
    return;
  }
  auto options = options_of(file);
  options.policy(LISTENKIT_POLICY_FAST).value();
  auto detector = listenkit::detector::create(models, options).value();
  auto model = listenkit::turn_model::create(models).value();
  int answered = 0;
  auto hear = [&](const listenkit::event &e) {
    if (e.kind == LISTENKIT_EVENT_TURN_QUERY && answered < 1) {
      const auto audio = detector.copy_turn_audio(e).value();
      const auto p = model.probability(audio).value();
      const auto samples = audio.samples().value();
      CHECK(!samples.empty() && p >= 0 && p <= 1 && model.probability(samples).value() == p);
      CHECK(detector.answer_turn(e.query, p));  // also from inside a visit
      answered++;
    }
  };
  detector.process({file.i16, file.len}, hear).value();
  CHECK(answered == 1);
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 2);
  wav file;
  CHECK(wav_read(argv[1], &file) == nullptr);
  CHECK(listenkit::abi_matches() && *listenkit::version());
  const auto models = listenkit::models::create().value();
  a_detector_tells_its_visitor_everything(models, file);
  failures_say_what_is_wrong(models);
  the_parts_work(models, file);
  turn_queries_carry_their_audio(models, file);
  CHECK(listenkit::judge_text("I would like to and", "en").value().lean < 0);
  wav_free(&file);
  std::puts("cpp: ok");
  return 0;
}
