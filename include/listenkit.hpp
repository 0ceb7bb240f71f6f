// listenkit for C++17 and later: listenkit.h with handles that free themselves, and nothing to link but the C library.
//
// A whole program, in order of use:
//
//     #include <listenkit.hpp>
//     #include <cstdio>
//     #include <vector>
//
//     int main() {
//       auto models = listenkit::models::create().value();       // one per process: weights, shared by all streams
//       listenkit::detector_options options;                     // the defaults
//       options.sample_rate = 48000;
//       auto detector = listenkit::detector::create(models, options).value();   // one per stream
//       auto hear = [](const listenkit::event &event) {
//         if (event.kind == LISTENKIT_EVENT_END_OF_TURN) {
//           std::printf("finished at %.3f s\n", listenkit::seconds(event, event.last_voiced));
//         }
//       };
//       std::vector<std::int16_t> block(480);                    // 10 ms at 48 kHz; any length will do
//       for (int i = 0; i < 500; ++i) { detector.process(block, hear).value(); }
//       detector.flush(hear).value();                            // what is still open ends here
//     }
//
// Every call that can fail gives a `result`, with exceptions and without, so the same program compiles either way. Ask it
// (`if (!r) use(r.failure())`), or take its `value()`: that throws `listenkit::error` on a failure, or, where exceptions are
// off (-fno-exceptions, or LISTENKIT_NO_EXCEPTIONS defined), says what failed and aborts. Not looking at a result is a
// compiler warning. Nothing else here throws, but for std::bad_alloc and whatever your own visitor throws.
//
// Events are `listenkit_event` as it stands in listenkit.h, where all fields, units and thread rules are told. In short: a
// `models` may be used by all threads at once; any other handle by one thread at a time (a call from a second one gives
// `status::busy`). A handle that was moved from refuses every call with `status::null_pointer`.
#ifndef LISTENKIT_HPP
#define LISTENKIT_HPP

#include "listenkit.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__has_include)
#if __has_include(<version>)
#include <version>
#endif
#endif
#if defined(__cpp_lib_span)
#include <span>
#endif

#if !defined(LISTENKIT_NO_EXCEPTIONS) && !defined(__cpp_exceptions) && !defined(_CPPUNWIND)
#define LISTENKIT_NO_EXCEPTIONS
#endif
#if !defined(LISTENKIT_NO_EXCEPTIONS)
#include <stdexcept>
#endif

// Files compiled in different modes may be linked into one program: each mode has names of its own.
#if defined(__cpp_lib_span) && defined(LISTENKIT_NO_EXCEPTIONS)
#define LISTENKIT_HPP_MODE mode_plain_20
#elif defined(__cpp_lib_span)
#define LISTENKIT_HPP_MODE mode_throwing_20
#elif defined(LISTENKIT_NO_EXCEPTIONS)
#define LISTENKIT_HPP_MODE mode_plain_17
#else
#define LISTENKIT_HPP_MODE mode_throwing_17
#endif

namespace listenkit {
inline namespace LISTENKIT_HPP_MODE {

#if defined(__cpp_lib_span)
template <class T>
using span = std::span<T>;
#else
/// A pointer and a number of values. Converts from arrays and anything with `data()` and `size()`; owns nothing.
template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
  template <std::size_t N>
  constexpr span(T (&array)[N]) noexcept : data_(array), size_(N) {}
  template <class C, class P = decltype(std::declval<C &>().data()), class = decltype(std::declval<C &>().size()),
            class = std::enable_if_t<
                // `const` may be added, nothing else: no slices of derived types, no temporary of another type.
                std::is_convertible_v<std::remove_pointer_t<P> (*)[], T (*)[]> &&
                // A view of a temporary dangles, unless it is only lent to a call that reads.
                (std::is_const_v<T> || std::is_lvalue_reference_v<C>)>>
  constexpr span(C &&container) noexcept : data_(container.data()), size_(container.size()) {}

  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T *begin() const noexcept { return data_; }
  constexpr T *end() const noexcept { return data_ + size_; }
  constexpr T &operator[](std::size_t at) const noexcept { return data_[at]; }
  /// The values from `at` on; `at` is at most `size()`.
  constexpr span subspan(std::size_t at) const noexcept { return span(data_ + at, size_ - at); }
  constexpr span subspan(std::size_t at, std::size_t count) const noexcept { return span(data_ + at, count); }
  constexpr span first(std::size_t count) const noexcept { return span(data_, count); }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};
#endif

/// One thing a detector or segmenter says; see listenkit.h.
using event = ::listenkit_event;
/// Counters of a detector; see listenkit.h.
using stats = ::listenkit_stats;

/// The status codes of listenkit.h. A later library may give numbers that have no name here.
enum class status : std::int32_t {
  ok = LISTENKIT_OK,
  empty = LISTENKIT_EMPTY,
  ended = LISTENKIT_ENDED,
  null_pointer = LISTENKIT_NULL_POINTER,
  struct_size = LISTENKIT_STRUCT_SIZE,
  config = LISTENKIT_CONFIG,
  input = LISTENKIT_INPUT,
  outputs_waiting = LISTENKIT_OUTPUTS_WAITING,
  model = LISTENKIT_MODEL,
  no_model = LISTENKIT_NO_MODEL,
  io = LISTENKIT_IO,
  buffer_too_small = LISTENKIT_BUFFER_TOO_SMALL,
  too_long = LISTENKIT_TOO_LONG,
  misaligned = LISTENKIT_MISALIGNED,
  busy = LISTENKIT_BUSY,
  poisoned = LISTENKIT_POISONED,
  panicked = LISTENKIT_PANICKED,
  wrong_handle = LISTENKIT_WRONG_HANDLE,
  overwritten = LISTENKIT_OVERWRITTEN,
  value = LISTENKIT_VALUE,
  utf8 = LISTENKIT_UTF8,
};

/// What a status means, in a few words; never null.
inline const char *to_string(status code) noexcept {
  return ::listenkit_status_str(static_cast<::listenkit_status>(code));
}

/// Why a call failed.
class failure {
 public:
  failure(status code, std::string detail) : code_(code), detail_(std::move(detail)) {}

  status code() const noexcept { return code_; }
  /// What exactly was wrong, where the library knows more than the status; may be empty.
  const std::string &detail() const noexcept { return detail_; }
  /// Status and detail in one line.
  std::string message() const {
    std::string text = to_string(code_);
    if (!detail_.empty()) {
      text += ": ";
      text += detail_;
    }
    return text;
  }

 private:
  status code_;
  std::string detail_;
};

#if !defined(LISTENKIT_NO_EXCEPTIONS)
/// Thrown by `result::value()` and by nothing else.
class error : public std::runtime_error {
 public:
  explicit error(const listenkit::failure &why)
      : std::runtime_error("listenkit: " + why.message()), code_(why.code()) {}
  status code() const noexcept { return code_; }

 private:
  status code_;
};
#endif

namespace detail {

[[noreturn]] inline void fail(const failure &why) {
#if defined(LISTENKIT_NO_EXCEPTIONS)
  std::fprintf(stderr, "listenkit: %s\n", why.message().c_str());
  std::abort();
#else
  throw error(why);
#endif
}

}  // namespace detail

/// What a call gave, or why it failed.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : value_(std::move(value)) {}
  result(listenkit::failure why) : failure_(std::move(why)) {}

  explicit operator bool() const noexcept { return value_.has_value(); }
  bool ok() const noexcept { return value_.has_value(); }
  listenkit::status status() const noexcept { return failure_ ? failure_->code() : listenkit::status::ok; }
  /// Only to be asked after a failure.
  const listenkit::failure &failure() const noexcept { return *failure_; }

  /// The value; after a failure throws `error`, or aborts where there are no exceptions.
  T &value() & {
    check();
    return *value_;
  }
  const T &value() const & {
    check();
    return *value_;
  }
  T value() && {
    check();
    return std::move(*value_);
  }
  T value_or(T other) && { return value_ ? std::move(*value_) : std::move(other); }
  /// As `value()`, unchecked: only to be used after success.
  T &operator*() & noexcept { return *value_; }
  const T &operator*() const & noexcept { return *value_; }
  T *operator->() noexcept { return &*value_; }
  const T *operator->() const noexcept { return &*value_; }

 private:
  void check() const {
    if (!value_) {
      detail::fail(*failure_);
    }
  }
  std::optional<T> value_;
  std::optional<listenkit::failure> failure_;
};

/// That a call succeeded, or why it failed.
template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(listenkit::failure why) : failure_(std::move(why)) {}

  explicit operator bool() const noexcept { return !failure_.has_value(); }
  bool ok() const noexcept { return !failure_.has_value(); }
  listenkit::status status() const noexcept { return failure_ ? failure_->code() : listenkit::status::ok; }
  /// Only to be asked after a failure.
  const listenkit::failure &failure() const noexcept { return *failure_; }
  /// Nothing; after a failure throws `error`, or aborts where there are no exceptions.
  void value() const {
    if (failure_) {
      detail::fail(*failure_);
    }
  }

 private:
  std::optional<listenkit::failure> failure_;
};

namespace detail {

inline status to_status(::listenkit_status code) noexcept { return static_cast<status>(code); }

/// Outcome of a constructor, whose detail the caller owns.
template <class T>
result<T> created(::listenkit_status code, T made, const ::listenkit_detail &why) {
  if (code < 0) {
    return failure(to_status(code), why.text);
  }
  return made;
}

/// Outcome of a call that has no handle to ask.
inline result<void> plain(::listenkit_status code, const char *why = "") {
  if (code < 0) {
    return failure(to_status(code), why);
  }
  return {};
}

template <class T>
result<T> given(::listenkit_status code, T value) {
  if (code < 0) {
    return failure(to_status(code), std::string());
  }
  return value;
}

/// Owns a handle of the C library.
template <class T, void (*Free)(T *)>
class handle {
 public:
  /// The handle itself, for calls of listenkit.h; still owned.
  T *get() const noexcept { return owned_.get(); }
  /// The same, no longer owned: to be given to its `listenkit_..._free`.
  T *release() noexcept { return owned_.release(); }
  /// Whether there is a handle: not after it was moved away.
  explicit operator bool() const noexcept { return owned_ != nullptr; }

 protected:
  explicit handle(T *owned) noexcept : owned_(owned) {}

 private:
  struct deleter {
    void operator()(T *owned) const noexcept { Free(owned); }
  };
  std::unique_ptr<T, deleter> owned_;
};

/// A handle that can be asked what its last failure was about.
template <class T, void (*Free)(T *), const char *(*Detail)(const T *)>
class talking_handle : public handle<T, Free> {
 protected:
  using handle<T, Free>::handle;

  result<void> done(::listenkit_status code) const {
    if (code < 0) {
      return why(code);
    }
    return {};
  }
  template <class V>
  result<V> done(::listenkit_status code, V value) const {
    if (code < 0) {
      return why(code);
    }
    return value;
  }
  failure why(::listenkit_status code) const {
    // Of a handle that another thread is inside, the text is that thread's.
    const bool mine = this->get() != nullptr && code != LISTENKIT_BUSY;
    const char *text = mine ? Detail(this->get()) : nullptr;
    return failure(to_status(code), text == nullptr ? "" : text);
  }
};

}  // namespace detail

/// "0.1.0".
inline const char *version() noexcept { return ::listenkit_version(); }

/// Whether the library that was loaded speaks the ABI this header was written for.
inline bool abi_matches() noexcept { return ::listenkit_abi_version() == LISTENKIT_ABI_VERSION; }

/// Bits LISTENKIT_FEATURE_*.
inline std::uint32_t features() noexcept { return ::listenkit_features(); }

/// A position or duration of an event in seconds.
inline double seconds(const event &e, std::uint64_t samples) noexcept {
  return static_cast<double>(samples) / static_cast<double>(e.sample_rate);
}

/// Settings of `models`, at their defaults. Pointers in it are the caller's, and only read by `models::create`.
struct models_options : ::listenkit_models_options {
  models_options() noexcept : ::listenkit_models_options() {
    // Fails only if the library is too old for this header. struct_size is then 0, which `create` refuses.
    (void)::listenkit_models_options_init(this, sizeof(::listenkit_models_options));
  }
};

/// Settings of `detector` and `segmenter`, at their defaults: 16 kHz, mono.
struct detector_options : ::listenkit_detector_options {
  detector_options() noexcept : ::listenkit_detector_options() {
    (void)::listenkit_detector_options_init(this, sizeof(::listenkit_detector_options));
  }
  /// Overwrites what says who speaks with LISTENKIT_PRESET_*; keeps rate, channels and format.
  result<void> preset(std::uint32_t which) {
    return detail::plain(::listenkit_detector_options_preset(this, which));
  }
  /// Overwrites what says when a turn is over with LISTENKIT_POLICY_*, and turns the turn model on.
  result<void> policy(std::uint32_t which) {
    return detail::plain(::listenkit_detector_options_policy(this, which));
  }
};

/// Weights, shared by all streams and threads. Handles made from it keep the weights alive.
class models : public detail::handle<::listenkit_models, ::listenkit_models_free> {
 public:
  /// The built-in weights.
  static result<models> create() { return create(nullptr); }
  static result<models> create(const models_options &options) { return create(&options); }

  result<bool> has_turn_model() const {
    std::uint32_t has = 0;
    const auto code = ::listenkit_models_has_turn_model(get(), &has);
    return detail::given(code, has != 0);
  }
  /// LISTENKIT_KERNEL_*: what a replay elsewhere has to ask for to get the same bits.
  result<std::uint32_t> kernel_level() const {
    std::uint32_t level = 0;
    const auto code = ::listenkit_models_kernel_level(get(), &level);
    return detail::given(code, level);
  }
  /// Runs the models on a known input and compares.
  result<void> self_test() const {
    ::listenkit_detail why{};
    const auto code = ::listenkit_models_self_test(get(), &why);
    return detail::plain(code, why.text);
  }

 private:
  explicit models(::listenkit_models *owned) noexcept : handle(owned) {}
  static result<models> create(const ::listenkit_models_options *options) {
    ::listenkit_models *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_models_new(options, &made, &why);
    return detail::created(code, models(made), why);
  }
};

/// A copy of what a turn query is about, for the thread that runs the model.
class turn_audio : public detail::talking_handle<::listenkit_turn_audio, ::listenkit_turn_audio_free,
                                                 ::listenkit_turn_audio_detail> {
 public:
  static result<turn_audio> create() {
    ::listenkit_turn_audio *made = nullptr;
    const auto code = ::listenkit_turn_audio_new(&made);
    return detail::created(code, turn_audio(made), ::listenkit_detail{});
  }
  /// The samples: 16 kHz, mono.
  result<std::vector<float>> samples() const {
    std::size_t len = 0;
    auto code = ::listenkit_turn_audio_samples(get(), nullptr, 0, &len);
    std::vector<float> out(code < 0 ? 0 : len);
    if (!out.empty()) {
      code = ::listenkit_turn_audio_samples(get(), out.data(), out.size(), &len);
    }
    return done(code, std::move(out));
  }

 private:
  explicit turn_audio(::listenkit_turn_audio *owned) noexcept : talking_handle(owned) {}
};

/// The audio turn model (Smart Turn): one per thread that runs it.
class turn_model : public detail::talking_handle<::listenkit_turn_model, ::listenkit_turn_model_free,
                                                 ::listenkit_turn_model_detail> {
 public:
  static result<turn_model> create(const models &weights) {
    ::listenkit_turn_model *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_turn_model_new(weights.get(), &made, &why);
    return detail::created(code, turn_model(made), why);
  }
  /// How likely it is that the turn is complete, 0..=1. Some 25 ms of CPU time.
  result<float> probability(const turn_audio &audio) {
    float p = 0;
    const auto code = ::listenkit_turn_model_probability(get(), audio.get(), &p);
    return done(code, p);
  }
  result<float> probability(span<const float> samples, std::uint32_t sample_rate = 16000) {
    float p = 0;
    const auto code =
        ::listenkit_turn_model_probability_f32(get(), samples.data(), samples.size(), sample_rate, &p);
    return done(code, p);
  }
  result<float> probability(span<const std::int16_t> samples, std::uint32_t sample_rate = 16000) {
    float p = 0;
    const auto code =
        ::listenkit_turn_model_probability_i16(get(), samples.data(), samples.size(), sample_rate, &p);
    return done(code, p);
  }

 private:
  explicit turn_model(::listenkit_turn_model *owned) noexcept : talking_handle(owned) {}
};

/// Listens to one stream. Whatever is put in, take what it says with a visitor: any callable that takes `const event &`.
/// While the visitor runs it may read `audio_...` and `copy_turn_audio` of the event it was given.
class detector : public detail::talking_handle<::listenkit_detector, ::listenkit_detector_free,
                                               ::listenkit_detector_detail> {
 public:
  static result<detector> create(const models &weights, const detector_options &options) {
    ::listenkit_detector *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_detector_new(weights.get(), &options, &made, &why);
    return detail::created(code, detector(made), why);
  }

  /// Hears a block of any length, and tells `visit` all there is to say about it. Values of several channels alternate.
  /// If `visit` throws, the rest of the block has not been heard.
  template <class Visit>
  result<void> process(span<const std::int16_t> block, Visit &&visit) {
    return hear(block, visit);
  }
  template <class Visit>
  result<void> process(span<const float> block, Visit &&visit) {
    return hear(block, visit);
  }
  /// End of input: what is open ends. More audio may follow.
  template <class Visit>
  result<void> flush(Visit &&visit) {
    return then_drain(::listenkit_detector_flush(get()), visit);
  }
  /// As `flush`, then the detector is as new.
  template <class Visit>
  result<void> reset(Visit &&visit) {
    return then_drain(::listenkit_detector_reset(get()), visit);
  }
  /// What the inputs below made it say. `process` does the same first, so this is for those who cannot wait for the next block.
  template <class Visit>
  result<void> drain(Visit &&visit) {
    return then_drain(LISTENKIT_OK, visit);
  }

  /// One step of `process`, for loops of one's own: how many values were taken. Then `poll` until it gives nothing.
  result<std::size_t> push(span<const std::int16_t> block) {
    std::size_t taken = 0;
    const auto code = push_some(block, taken);
    return done(code, taken);
  }
  result<std::size_t> push(span<const float> block) {
    std::size_t taken = 0;
    const auto code = push_some(block, taken);
    return done(code, taken);
  }
  result<std::optional<event>> poll() {
    event e{};
    e.struct_size = sizeof(e);
    const auto code = ::listenkit_detector_poll(get(), &e);
    return done(code, code == LISTENKIT_EMPTY ? std::optional<event>() : std::optional<event>(e));
  }

  /// Another rate or number of channels from the next block on.
  result<void> set_format(std::uint32_t sample_rate, std::uint32_t channels) {
    return done(::listenkit_detector_set_format(get(), sample_rate, channels));
  }

  /// Finds speech by other thresholds, durations and paddings from the next window on; the rest of `options` is not looked at.
  result<void> tune(const detector_options &options) { return done(::listenkit_detector_tune(get(), &options)); }

  /// The samples of a segment, in the visitor that was told of it (with `segment_audio` set).
  result<std::vector<std::int16_t>> audio_i16(const event &segment) const {
    return audio<std::int16_t>(::listenkit_detector_audio_i16, segment);
  }
  result<std::vector<float>> audio_f32(const event &segment) const {
    return audio<float>(::listenkit_detector_audio_f32, segment);
  }
  /// The same without allocating: how many values were written to `out`, which has room for `segment.audio_len`.
  result<std::size_t> audio(const event &segment, span<std::int16_t> out) const {
    std::size_t len = 0;
    const auto code = ::listenkit_detector_audio_i16(get(), &segment, out.data(), out.size(), &len);
    return done(code, len);
  }
  result<std::size_t> audio(const event &segment, span<float> out) const {
    std::size_t len = 0;
    const auto code = ::listenkit_detector_audio_f32(get(), &segment, out.data(), out.size(), &len);
    return done(code, len);
  }
  /// What a turn model should hear, in the visitor that was told of the query. Overwrites `audio`.
  result<void> copy_turn_audio(const event &query, turn_audio &audio) const {
    return done(::listenkit_detector_turn_audio(get(), &query, audio.get()));
  }
  /// The same in a new `turn_audio`.
  result<turn_audio> copy_turn_audio(const event &query) const {
    auto made = turn_audio::create();
    if (made) {
      auto copied = copy_turn_audio(query, *made);
      if (!copied) {
        return copied.failure();
      }
    }
    return made;
  }

  // Inputs that are no audio. What they make it say comes with the next `process` or `drain`.

  result<void> answer_turn(std::uint64_t query, float probability) {
    return done(::listenkit_detector_answer_turn(get(), query, probability));
  }
  result<void> turn_threshold(float threshold) { return done(::listenkit_detector_turn_threshold(get(), threshold)); }
  result<void> answer_text(std::uint64_t turn, float probability, float threshold,
                           std::uint64_t asked_at = LISTENKIT_UNKNOWN) {
    return done(::listenkit_detector_answer_text(get(), turn, probability, threshold, asked_at));
  }
  result<void> text_cues(std::uint64_t turn, float lean, std::uint32_t cues) {
    return done(::listenkit_detector_text_cues(get(), turn, lean, cues));
  }
  result<void> expect(std::uint32_t expectation, std::uint32_t digits = 0) {
    return done(::listenkit_detector_expect(get(), expectation, digits));
  }
  result<void> transcript(std::uint64_t speech_end = LISTENKIT_UNKNOWN) {
    return done(::listenkit_detector_transcript(get(), speech_end));
  }
  result<void> agent_started() { return done(::listenkit_detector_agent_started(get())); }
  result<void> agent_stopped() { return done(::listenkit_detector_agent_stopped(get())); }
  result<void> agent_interruptible(bool interruptible) {
    return done(::listenkit_detector_agent_interruptible(get(), interruptible ? 1U : 0U));
  }
  result<void> words(std::uint32_t count) { return done(::listenkit_detector_words(get(), count)); }
  result<void> interruption(bool was_one) {
    return done(::listenkit_detector_interruption(get(), was_one ? 1U : 0U));
  }
  result<void> commit_turn() { return done(::listenkit_detector_commit_turn(get())); }
  result<void> clear_turn() { return done(::listenkit_detector_clear_turn(get())); }
  result<void> gap(std::uint64_t samples) { return done(::listenkit_detector_gap(get(), samples)); }
  result<void> audio_age(std::uint64_t samples) {
    return done(::listenkit_detector_audio_age(get(), samples));
  }
  result<void> clock(std::uint64_t at) { return done(::listenkit_detector_clock(get(), at)); }
  /// What the agent plays, as it is played.
  result<void> reference(span<const std::int16_t> samples, std::uint32_t sample_rate, std::uint32_t channels = 1) {
    return done(
        ::listenkit_detector_reference_i16(get(), samples.data(), samples.size(), sample_rate, channels));
  }
  result<void> reference(span<const float> samples, std::uint32_t sample_rate, std::uint32_t channels = 1) {
    return done(
        ::listenkit_detector_reference_f32(get(), samples.data(), samples.size(), sample_rate, channels));
  }

  // Queries.

  /// Samples so far, gaps included.
  result<std::uint64_t> position() const { return ask<std::uint64_t>(::listenkit_detector_position); }
  result<std::optional<std::uint64_t>> open_turn() const {
    std::uint64_t turn = 0;
    const auto code = ::listenkit_detector_open_turn(get(), &turn);
    return done(code,
                code == LISTENKIT_EMPTY ? std::optional<std::uint64_t>() : std::optional<std::uint64_t>(turn));
  }
  /// Digest of every probability and event so far: equal in C++, C, Python and Rust.
  result<std::uint64_t> fingerprint() const { return ask<std::uint64_t>(::listenkit_detector_fingerprint); }
  result<std::size_t> state_bytes() const { return ask<std::size_t>(::listenkit_detector_state_bytes); }
  result<std::size_t> retained_bytes() const { return ask<std::size_t>(::listenkit_detector_retained_bytes); }
  /// Input samples beyond a window's end that are needed to score it.
  result<std::uint64_t> delay() const { return ask<std::uint64_t>(::listenkit_detector_delay); }
  result<listenkit::stats> stats() const {
    listenkit::stats counters{};
    counters.struct_size = sizeof(counters);
    const auto code = ::listenkit_detector_stats(get(), &counters);
    return done(code, counters);
  }

 private:
  explicit detector(::listenkit_detector *owned) noexcept : talking_handle(owned) {}

  ::listenkit_status push_some(span<const std::int16_t> block, std::size_t &taken) {
    return ::listenkit_detector_push_i16(get(), block.data(), block.size(), &taken);
  }
  ::listenkit_status push_some(span<const float> block, std::size_t &taken) {
    return ::listenkit_detector_push_f32(get(), block.data(), block.size(), &taken);
  }

  template <class Sample, class Visit>
  result<void> hear(span<const Sample> block, Visit &visit) {
    auto code = take(visit);
    while (code >= 0 && !block.empty()) {
      std::size_t taken = 0;
      code = push_some(block, taken);
      if (code >= 0) {
        block = block.subspan(taken);
        code = take(visit);
      }
    }
    return done(code);
  }

  template <class Visit>
  result<void> then_drain(::listenkit_status code, Visit &visit) {
    return done(code < 0 ? code : take(visit));
  }

  template <class Visit>
  ::listenkit_status take(Visit &visit) {
    event e{};
    while (true) {
      e.struct_size = sizeof(e);
      const auto code = ::listenkit_detector_poll(get(), &e);
      if (code != LISTENKIT_OK) {
        return code;
      }
      visit(static_cast<const event &>(e));
    }
  }

  template <class T>
  result<T> ask(::listenkit_status (*question)(const ::listenkit_detector *, T *)) const {
    T answer = 0;
    const auto code = question(get(), &answer);
    return done(code, answer);
  }

  template <class Sample>
  result<std::vector<Sample>> audio(::listenkit_status (*read)(const ::listenkit_detector *, const event *, Sample *,
                                                               std::size_t, std::size_t *),
                                    const event &segment) const {
    std::vector<Sample> out(static_cast<std::size_t>(segment.audio_len));
    std::size_t len = 0;
    const auto code = read(get(), &segment, out.data(), out.size(), &len);
    return done(code, std::move(out));
  }
};

/// Voice activity of one stream, window by window.
class vad : public detail::talking_handle<::listenkit_vad, ::listenkit_vad_free, ::listenkit_vad_detail> {
 public:
  /// `sample_rate` is 8000 or 16000.
  static result<vad> create(const models &weights, std::uint32_t sample_rate, bool state_guard = true) {
    ::listenkit_vad *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_vad_new(weights.get(), sample_rate, state_guard ? 1U : 0U, &made, &why);
    return detail::created(code, vad(made), why);
  }
  /// Samples of one window: 512 at 16 kHz, 256 at 8 kHz.
  result<std::size_t> window_len() const {
    std::size_t len = 0;
    const auto code = ::listenkit_vad_window_len(get(), &len);
    return done(code, len);
  }
  /// How likely it is that somebody speaks, 0..=1.
  result<float> probability(span<const std::int16_t> window) {
    float p = 0;
    const auto code = ::listenkit_vad_probability_i16(get(), window.data(), window.size(), &p);
    return done(code, p);
  }
  result<float> probability(span<const float> window) {
    float p = 0;
    const auto code = ::listenkit_vad_probability_f32(get(), window.data(), window.size(), &p);
    return done(code, p);
  }
  result<void> reset() { return done(::listenkit_vad_reset(get())); }
  result<std::size_t> state_bytes() const {
    std::size_t bytes = 0;
    const auto code = ::listenkit_vad_state_bytes(get(), &bytes);
    return done(code, bytes);
  }

 private:
  explicit vad(::listenkit_vad *owned) noexcept : talking_handle(owned) {}
};

/// Voice activity of many streams at once: less work per stream than one `vad` for each.
class vad_batch
    : public detail::talking_handle<::listenkit_vad_batch, ::listenkit_vad_batch_free, ::listenkit_vad_batch_detail> {
 public:
  static result<vad_batch> create(const models &weights, std::uint32_t sample_rate, std::size_t streams,
                                  bool state_guard = true) {
    ::listenkit_vad_batch *made = nullptr;
    ::listenkit_detail why{};
    const auto code =
        ::listenkit_vad_batch_new(weights.get(), sample_rate, state_guard ? 1U : 0U, streams, &made, &why);
    return detail::created(code, vad_batch(made), why);
  }
  result<std::size_t> window_len() const {
    std::size_t len = 0;
    const auto code = ::listenkit_vad_batch_window_len(get(), &len);
    return done(code, len);
  }
  /// `windows` back to back, one for each of `probabilities`: the first stream's, the second's, ...
  result<void> process(span<const std::int16_t> windows, span<float> probabilities) {
    return done(::listenkit_vad_batch_probabilities_i16(get(), nullptr, probabilities.size(), windows.data(),
                                                        windows.size(), probabilities.data()));
  }
  result<void> process(span<const float> windows, span<float> probabilities) {
    return done(::listenkit_vad_batch_probabilities_f32(get(), nullptr, probabilities.size(), windows.data(),
                                                        windows.size(), probabilities.data()));
  }
  /// The same for some streams: `streams[i]` says whose window i is, each at most once. As many as `probabilities`.
  result<void> process(span<const std::uint32_t> streams, span<const std::int16_t> windows,
                       span<float> probabilities) {
    if (streams.size() != probabilities.size()) {
      return uneven();
    }
    return done(::listenkit_vad_batch_probabilities_i16(get(), streams.data(), streams.size(), windows.data(),
                                                        windows.size(), probabilities.data()));
  }
  result<void> process(span<const std::uint32_t> streams, span<const float> windows, span<float> probabilities) {
    if (streams.size() != probabilities.size()) {
      return uneven();
    }
    return done(::listenkit_vad_batch_probabilities_f32(get(), streams.data(), streams.size(), windows.data(),
                                                        windows.size(), probabilities.data()));
  }
  result<void> reset(std::uint32_t stream) { return done(::listenkit_vad_batch_reset(get(), stream)); }
  result<void> reset_all() { return reset(UINT32_MAX); }
  result<std::size_t> state_bytes_per_stream() const {
    std::size_t bytes = 0;
    const auto code = ::listenkit_vad_batch_state_bytes(get(), &bytes);
    return done(code, bytes);
  }

 private:
  explicit vad_batch(::listenkit_vad_batch *owned) noexcept : talking_handle(owned) {}
  static failure uneven() { return failure(status::input, "as many probabilities as streams are needed"); }
};

/// From one sample rate to another: mono, streaming.
class resampler : public detail::talking_handle<::listenkit_resampler, ::listenkit_resampler_free,
                                                ::listenkit_resampler_detail> {
 public:
  struct progress {
    std::size_t taken;
    std::size_t written;
  };

  /// `aligned`: output sample 0 is input sample 0; otherwise it comes `delay()` outputs late.
  static result<resampler> create(std::uint32_t from, std::uint32_t to, bool aligned) {
    ::listenkit_resampler *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_resampler_new(from, to, aligned ? 1U : 0U, &made, &why);
    return detail::created(code, resampler(made), why);
  }
  /// Most outputs that `input_len` inputs can give.
  result<std::size_t> output_len_max(std::size_t input_len) const {
    std::size_t len = 0;
    const auto code = ::listenkit_resampler_output_len_max(get(), input_len, &len);
    return done(code, len);
  }
  /// Outputs that `flush` would give now.
  result<std::size_t> tail_len() const {
    std::size_t len = 0;
    const auto code = ::listenkit_resampler_tail_len(get(), &len);
    return done(code, len);
  }
  result<std::size_t> delay() const {
    std::size_t outputs = 0;
    const auto code = ::listenkit_resampler_delay(get(), &outputs);
    return done(code, outputs);
  }
  /// Takes inputs as long as there is room for their outputs.
  result<progress> process(span<const float> in, span<float> out) {
    progress p{0, 0};
    const auto code = ::listenkit_resampler_process_f32(get(), in.data(), in.size(), out.data(), out.size(), &p.taken,
                                                        &p.written);
    return done(code, p);
  }
  result<progress> process(span<const std::int16_t> in, span<std::int16_t> out) {
    progress p{0, 0};
    const auto code = ::listenkit_resampler_process_i16(get(), in.data(), in.size(), out.data(), out.size(), &p.taken,
                                                        &p.written);
    return done(code, p);
  }
  /// What is still inside; again until less than `out.size()` is written.
  result<std::size_t> flush(span<float> out) {
    std::size_t written = 0;
    const auto code = ::listenkit_resampler_flush_f32(get(), out.data(), out.size(), &written);
    return done(code, written);
  }
  result<std::size_t> flush(span<std::int16_t> out) {
    std::size_t written = 0;
    const auto code = ::listenkit_resampler_flush_i16(get(), out.data(), out.size(), &written);
    return done(code, written);
  }
  result<void> reset() { return done(::listenkit_resampler_reset(get())); }
  result<std::size_t> state_bytes() const {
    std::size_t bytes = 0;
    const auto code = ::listenkit_resampler_state_bytes(get(), &bytes);
    return done(code, bytes);
  }

 private:
  explicit resampler(::listenkit_resampler *owned) noexcept : talking_handle(owned) {}
};

/// Probabilities of windows in, stretches of speech out: for those who bring a VAD of their own.
class segmenter : public detail::talking_handle<::listenkit_segmenter, ::listenkit_segmenter_free,
                                                ::listenkit_segmenter_detail> {
 public:
  static result<segmenter> create(const detector_options &options) {
    ::listenkit_segmenter *made = nullptr;
    ::listenkit_detail why{};
    const auto code = ::listenkit_segmenter_new(&options, &made, &why);
    return detail::created(code, segmenter(made), why);
  }
  /// The next window: where it ends, and its probability.
  template <class Visit>
  result<void> push(std::uint64_t window_end, float probability, Visit &&visit) {
    return take(::listenkit_segmenter_push(get(), window_end, probability), visit);
  }
  template <class Visit>
  result<void> flush(Visit &&visit) {
    return take(::listenkit_segmenter_flush(get()), visit);
  }
  template <class Visit>
  result<void> reset(Visit &&visit) {
    return take(::listenkit_segmenter_reset(get()), visit);
  }

 private:
  explicit segmenter(::listenkit_segmenter *owned) noexcept : talking_handle(owned) {}

  template <class Visit>
  result<void> take(::listenkit_status code, Visit &visit) {
    event e{};
    while (code >= 0) {
      e.struct_size = sizeof(e);
      code = ::listenkit_segmenter_poll(get(), &e);
      if (code != LISTENKIT_OK) {
        break;
      }
      visit(static_cast<const event &>(e));
    }
    return done(code);
  }
};

/// What the wording of a turn so far says about whether it is complete.
struct cue_vote {
  /// -1 unfinished ... 1 finished; NaN if the wording says nothing.
  float lean;
  /// Bits LISTENKIT_CUE_*.
  std::uint32_t cues;
};

/// Judges a text. `language` is a BCP 47 tag, or null if it is not known.
inline result<cue_vote> judge_text(std::string_view text, const char *language = nullptr,
                                   std::uint32_t expectation = 0, std::uint32_t digits = 0) {
  cue_vote vote{0, 0};
  const auto code = ::listenkit_text_cues_judge(text.data(), text.size(), language, expectation, digits, &vote.lean,
                                                &vote.cues);
  return detail::given(code, vote);
}

}  // namespace LISTENKIT_HPP_MODE
}  // namespace listenkit

#undef LISTENKIT_HPP_MODE

#endif  // LISTENKIT_HPP
