// A live host in small: 10 ms blocks go to a detector on the audio thread; speech segments go to a recogniser and turn queries to
// the turn model, each on a thread of its own. The audio thread never waits for either.
//
//   c++ -std=c++17 stream_adapter.cpp $(pkg-config --cflags --libs listenkit) -pthread -o stream_adapter
//   ./stream_adapter call.wav           as fast as it goes
//   ./stream_adapter --live call.wav    as fast as one speaks
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <listenkit.hpp>
#include <mutex>
#include <thread>

#include "wav.h"

namespace {

/// Runs jobs one after another on a thread of its own.
class Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  /// Does what is still waiting, then ends.
  ~Worker() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Worker(const Worker &) = delete;
  Worker &operator=(const Worker &) = delete;

  void post(std::function<void()> job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      jobs_.push_back(std::move(job));
    }
    wake_.notify_one();
  }

 private:
  void run() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      wake_.wait(lock, [this] { return done_ || !jobs_.empty(); });
      if (jobs_.empty()) return;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> jobs_;
  bool done_ = false;
  std::thread thread_;
};

/// What workers have to tell the audio thread: only that one may touch the detector.
class Answers {
 public:
  void put(std::uint64_t query, float probability) {
    std::lock_guard<std::mutex> lock(mutex_);
    waiting_.push_back({query, probability});
  }
  std::deque<std::pair<std::uint64_t, float>> take() {
    std::lock_guard<std::mutex> lock(mutex_);
    return std::exchange(waiting_, {});
  }

 private:
  std::mutex mutex_;
  std::deque<std::pair<std::uint64_t, float>> waiting_;
};

/// Stands for a recogniser that takes whole utterances.
void recognise(std::uint64_t turn, const std::vector<std::int16_t> &audio, double length) {
  long loudest = 0;
  for (auto value : audio) loudest = std::max(loudest, std::labs(value));
  std::printf("[recogniser]  turn %llu: %.2f s, peak %ld\n", static_cast<unsigned long long>(turn), length, loudest);
}

template <class Sample>
int listen(const wav &file, const Sample *samples, bool live) {
  const auto models = listenkit::models::create().value();
  listenkit::detector_options options;
  options.sample_rate = file.sample_rate;
  options.channels = file.channels;
  options.sample_format = std::is_same_v<Sample, float> ? LISTENKIT_F32 : LISTENKIT_I16;
  options.segment_audio = 1;
  const bool asks = models.has_turn_model().value();
  if (asks) options.policy(LISTENKIT_POLICY_BALANCED).value();
  auto detector = listenkit::detector::create(models, options).value();
  std::printf("delay %.1f ms, %zu bytes of state per stream\n",
              1000.0 * static_cast<double>(detector.delay().value()) / file.sample_rate,
              detector.state_bytes().value());

  Answers answers;  // before the workers, which use it until they are done
  std::optional<listenkit::turn_model> model;  // used by one thread: that of `judge`
  if (asks) model = listenkit::turn_model::create(models).value();
  Worker judge, recogniser;

  auto hear = [&](const listenkit::event &e) {
    switch (e.kind) {
      case LISTENKIT_EVENT_START_OF_SPEECH:
        std::printf("%8.3f s  the user speaks: stop talking\n", listenkit::seconds(e, e.at));
        break;
      case LISTENKIT_EVENT_SEGMENT_READY: {
        // Copied now: the detector's own memory is used again for the next block.
        auto audio = std::make_shared<std::vector<std::int16_t>>(detector.audio_i16(e).value());
        recogniser.post([audio, turn = e.turn, length = listenkit::seconds(e, e.end - e.start)] {
          recognise(turn, *audio, length);
        });
        break;
      }
      case LISTENKIT_EVENT_TURN_QUERY: {
        auto audio = std::make_shared<listenkit::turn_audio>(detector.copy_turn_audio(e).value());
        judge.post([&answers, &model, audio, query = e.query] {
          auto probability = model->probability(*audio);
          if (probability) answers.put(query, *probability);  // no answer is an answer too: the detector waits no longer than it must
        });
        break;
      }
      case LISTENKIT_EVENT_END_OF_TURN:
        std::printf("%8.3f s  turn %llu is over: answer\n", listenkit::seconds(e, e.decided_at),
                    static_cast<unsigned long long>(e.turn));
        break;
      default: break;
    }
  };

  const std::size_t block = file.sample_rate / 100 * file.channels;
  auto next = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < file.len; at += block) {
    for (const auto &answer : answers.take()) detector.answer_turn(answer.first, answer.second).value();
    detector.process({samples + at, std::min(block, file.len - at)}, hear).value();
    if (live) std::this_thread::sleep_until(next += std::chrono::milliseconds(10));
  }
  detector.flush(hear).value();
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  const bool live = argc > 1 && std::strcmp(argv[1], "--live") == 0;
  wav file;
  const char *wrong = argc > 1 ? wav_read(argv[argc - 1], &file) : "give a WAV file";
  if (wrong) {
    std::fprintf(stderr, "%s: %s\n", argv[argc - 1], wrong);
    return 1;
  }
  int code = 1;
  try {
    code = file.i16 ? listen(file, file.i16, live) : listen(file, file.f32, live);
  } catch (const std::exception &e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  wav_free(&file);
  return code;
}
